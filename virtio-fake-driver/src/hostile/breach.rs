//! Promises that a device broke.

use alloc::string::String;
use alloc::vec::Vec;
use core::{error, fmt};

use virtio_mem_traits::{Access, DriverAddr, DriverRange};

/// A promise that a device broke under attack.
///
/// ```
/// use virtio_fake_driver::hostile::Breach;
///
/// let breach = Breach::TooLong { id: 3, len: 512, written: 16 };
/// assert_eq!(
///     breach.to_string(),
///     "the device reports 512 written bytes in buffer 3, and has written 16 from the start: it must report at most 16"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Breach {
    /// The device panicked.
    Panicked {
        /// The message of the panic, after its place in the source.
        message: String,
    },
    /// The device did not come to an end. The memory stopped it.
    Unbounded {
        /// The number of accesses and translations that one call can make.
        limit: u64,
    },
    /// The device accessed memory that was not translated for this access.
    NotTranslated {
        /// The range of the access.
        range: DriverRange,
        /// The kind of access.
        access: Access,
    },
    /// The device accessed memory that the driver had not lent for this access: memory behind an element, an element of
    /// the other direction, or the ring's own fields.
    NotLent {
        /// The range of the access.
        range: DriverRange,
        /// The kind of access.
        access: Access,
    },
    /// The device changed memory, and did not report the write to the memory.
    Unreported {
        /// The first byte that changed.
        addr: DriverAddr,
    },
    /// The device reported more written bytes than it had written from the start without a gap.
    TooLong {
        /// The id of the buffer.
        id: u32,
        /// The used length.
        len: u32,
        /// The number of bytes that were written from the start without a gap.
        written: u64,
    },
    /// The device used a buffer more often than it was available.
    UsedTwice {
        /// The id of the buffer.
        id: u32,
    },
    /// The device used a buffer that was never available.
    NeverAvailable {
        /// The id of the buffer.
        id: u32,
    },
    /// The device did not use buffers, and reported no fatal error.
    Forgotten {
        /// The ids of the buffers, in the order in which they became available.
        ids: Vec<u32>,
    },
    /// The device did not use an honest buffer that became available after the attack, and reported no fatal error.
    Stuck,
    /// The device accessed a ring after it had reported a fatal error.
    AfterFatal {
        /// The range of the access.
        range: DriverRange,
        /// The kind of access.
        access: Access,
    },
    /// The device refused something that a driver can do.
    Failed {
        /// The error of the device.
        error: String,
    },
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked { message } => write!(f, "the device panicked: {message}"),
            Self::Unbounded { limit } => {
                write!(f, "one call took more than {limit} accesses and translations: the device must bound its work")
            }
            Self::NotTranslated { range, access } => {
                write!(f, "the device wants to {access} {range}: it must translate the bytes for that access first")
            }
            Self::NotLent { range, access } => {
                write!(f, "the device wants to {access} {range}: the driver has not lent all of it for that access")
            }
            Self::Unreported { addr } => {
                write!(f, "the device changed memory at {addr}: it must report the write to the memory")
            }
            Self::TooLong { id, len, written } => write!(
                f,
                "the device reports {len} written bytes in buffer {id}, and has written {written} from the start: it \
                 must report at most {written}"
            ),
            Self::UsedTwice { id } => {
                write!(f, "the device used buffer {id} again: it must use an available buffer once")
            }
            Self::NeverAvailable { id } => {
                write!(f, "the device used buffer {id}, which was never available: it must use available buffers alone")
            }
            Self::Forgotten { ids } => {
                write!(f, "the device did not use the buffers {ids:?}: it must use every buffer, or report an error")
            }
            Self::Stuck => {
                f.write_str("the device did not use a good buffer after the attack: it must go on, or report an error")
            }
            Self::AfterFatal { range, access } => write!(
                f,
                "the device wants to {access} {range} after a fatal error: it must not access the rings any more"
            ),
            Self::Failed { error } => {
                write!(f, "the device refused what a driver can do: {error}")
            }
        }
    }
}

impl error::Error for Breach {}
