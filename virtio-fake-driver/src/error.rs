//! What a driver cannot do, and what it finds that a device did wrong.

use core::{error, fmt};

/// A chain that a driver has no room for. Nothing of it was written.
///
/// ```
/// use virtio_fake_driver::{AddError, DriverChain, SplitFixture};
///
/// let mut driver = SplitFixture::new(2).driver;
/// driver.add(&DriverChain::new().readable(b"1"))?;
/// let refused = driver.add(&DriverChain::new().readable(b"2").writable(1));
/// assert_eq!(refused, Err(AddError::NoDescriptors { needed: 2, free: 1 }));
/// # Ok::<_, AddError>(())
/// ```
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
                write!(f, "the chain takes {needed} descriptors, and {free} are free: reap used buffers first")
            }
            Self::NoMemory { len } => {
                write!(
                    f,
                    "the chain takes {len} bytes in one place, which the pool does not have: make the memory larger"
                )
            }
        }
    }
}

impl error::Error for AddError {}

/// A rule that the device has broken, as the driver sees it: a failure of the test.
///
/// ```
/// use virtio_fake_driver::{DeviceViolation, DriverChain, SplitFixture};
///
/// let mut fixture = SplitFixture::new(8);
/// fixture.driver.add(&DriverChain::new().writable(4))?;
///
/// // A device that counts wrong.
/// let used_index = fixture.driver.areas().used_index();
/// fixture.driver.view().poke(used_index.start(), &[2, 0]);
/// assert_eq!(fixture.driver.reap(), Err(DeviceViolation::TooManyUsed { used: 2, available: 1 }));
/// # Ok::<_, virtio_fake_driver::AddError>(())
/// ```
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
        /// How many buffers that are not used were available before it.
        skipped: usize,
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
                write!(
                    f,
                    "the device used {used} buffers, and {available} were available: it can use no more than those"
                )
            }
            Self::UnknownId { id } => {
                write!(f, "the device used buffer {id}, which is not available: it must use each available buffer once")
            }
            Self::OutOfOrder { id, skipped } => {
                write!(
                    f,
                    "the device used buffer {id} and skipped {skipped} before it: with IN_ORDER it must use those first"
                )
            }
            Self::TooLong { id, len, writable } => {
                write!(
                    f,
                    "used length {len} of buffer {id} is more than the {writable} bytes that the device can write"
                )
            }
        }
    }
}

impl error::Error for DeviceViolation {}
