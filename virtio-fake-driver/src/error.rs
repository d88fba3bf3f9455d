//! What a driver cannot do, and what it finds that a device did wrong.

use core::{error, fmt};

/// A chain that a driver has no room for. Nothing of it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddError {
    /// There are not enough free descriptors.
    NoDescriptors {
        /// How many the chain takes.
        needed: usize,
        /// How many are free.
        free: usize,
    },
    /// There is not enough memory, in one place, for an element or an indirect table.
    NoMemory {
        /// How many bytes it takes.
        len: u64,
    },
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDescriptors { needed, free } => {
                write!(f, "the chain takes {needed} descriptors, and {free} are free")
            }
            Self::NoMemory { len } => write!(f, "the pool has no {len} bytes in one place"),
        }
    }
}

impl error::Error for AddError {}

/// A rule that the device has broken, as the driver sees it: a failure of the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceViolation {
    /// More buffers are used than were available (SPLIT-USED-7). None of them is looked at.
    TooManyUsed {
        /// How many are used, as the device says.
        used: u16,
        /// How many were available to it.
        available: u16,
    },
    /// A buffer is used that was not available, or is used twice (SPLIT-USED-5). The driver of a split ring goes on
    /// after it. That of a packed one does not know where to go on.
    UnknownId {
        /// What the device knows it by.
        id: u32,
    },
    /// With IN_ORDER, a buffer is used before others that were available before it (SPLIT-ORD-1). It is not taken back.
    OutOfOrder {
        /// What the device knows it by.
        id: u32,
    },
    /// More bytes are said to be written than there was room for (SPLIT-USED-10). The buffer is taken back.
    TooLong {
        /// What the buffer is known by.
        id: u16,
        /// How many bytes the device says it wrote.
        len: u32,
        /// How many were writable.
        writable: u64,
    },
}

impl fmt::Display for DeviceViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyUsed { used, available } => {
                write!(f, "the device used {used} buffers, and {available} were available")
            }
            Self::UnknownId { id } => write!(f, "the device used buffer {id}, which was not available"),
            Self::OutOfOrder { id } => write!(f, "the device used buffer {id} before its turn"),
            Self::TooLong { id, len, writable } => {
                write!(f, "the device says it wrote {len} bytes into buffer {id}, which has room for {writable}")
            }
        }
    }
}

impl error::Error for DeviceViolation {}
