//! Errors of a driver, and violations of the rules by a device.

use core::{error, fmt};

/// The reason why a driver has no room for a chain. No part of the chain was written.
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
        /// The number of descriptors that the chain takes.
        needed: usize,
        /// The number of free descriptors.
        free: usize,
    },
    /// The pool has no free block that is large enough for an element or an indirect table.
    NoMemory {
        /// The number of bytes that it takes.
        len: u64,
    },
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDescriptors { needed, free } => {
                write!(f, "the chain takes {needed} descriptors, but only {free} are free: reap used buffers first")
            }
            Self::NoMemory { len } => {
                write!(f, "the pool has no free block of {len} bytes for the chain: make the memory larger")
            }
        }
    }
}

impl error::Error for AddError {}

/// A rule of the specification that the device has broken, as the driver sees it.
///
/// ```
/// use virtio_fake_driver::{DeviceViolation, DriverChain, SplitFixture};
///
/// let mut fixture = SplitFixture::new(8);
/// fixture.driver.add(&DriverChain::new().writable(4))?;
///
/// // The device counts wrong.
/// let used_index = fixture.driver.areas().used_index();
/// fixture.driver.view().poke(used_index.start(), &[2, 0]);
/// assert_eq!(fixture.driver.reap(), Err(DeviceViolation::TooManyUsed { used: 2, available: 1 }));
/// # Ok::<_, virtio_fake_driver::AddError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceViolation {
    /// The device reports more used buffers than were available.
    ///
    /// The driver takes none of them back (SPLIT-USED-7).
    TooManyUsed {
        /// The number of used buffers, as the device reports it.
        used: u16,
        /// The number of available buffers.
        available: u16,
    },
    /// The device reports a used buffer that was not available, or reports a buffer twice.
    ///
    /// The driver of a split ring continues after this report (SPLIT-USED-5). The driver of a packed ring cannot
    /// continue, because it does not know the next position.
    UnknownId {
        /// The id in the device's report.
        id: u32,
    },
    /// With IN_ORDER, the device used a buffer before others that were available earlier.
    ///
    /// The driver does not take the buffer back (SPLIT-ORD-1).
    OutOfOrder {
        /// The id in the device's report.
        id: u32,
        /// The number of unused buffers that were available earlier.
        skipped: usize,
    },
    /// The device reports more written bytes than the buffer has writable bytes.
    ///
    /// The driver takes the buffer back (SPLIT-USED-10).
    TooLong {
        /// The id of the buffer.
        id: u16,
        /// The number of written bytes, as the device reports it.
        len: u32,
        /// The number of writable bytes.
        writable: u64,
    },
}

impl fmt::Display for DeviceViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyUsed { used, available } => {
                write!(
                    f,
                    "the device used {used} buffers, but only {available} were available: it must use at most those"
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
                write!(f, "the device reports {len} written bytes in buffer {id}: it must report at most {writable}")
            }
        }
    }
}

impl error::Error for DeviceViolation {}
