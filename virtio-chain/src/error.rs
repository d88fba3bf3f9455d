//! The errors of this crate.

use core::{error, fmt};

use virtio_queue_core::{ChainError, ReturnError};

/// The amount of data after a position.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let queue = &mut fixture.queue;
/// # fixture.driver.add(&DriverChain::new().readable(b"four").readable(b"more")).unwrap();
/// use virtio_chain::{ReadableChain, Remaining};
///
/// let mut request = ReadableChain::new(queue.next_chain()?.ok_or("nothing is available")?);
/// let start: [u8; 2] = request.read_obj()?;
/// assert_eq!(request.remaining()?, Remaining { bytes: 6, descriptors: 2 });
/// # assert_eq!(start, *b"fo");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    /// The number of bytes.
    pub bytes: u64,
    /// The number of non-empty elements. It includes an element that is partly consumed.
    pub descriptors: u32,
}

impl fmt::Display for Remaining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, descriptors } = self;
        let noun = if *descriptors == 1 { "element" } else { "elements" };
        write!(f, "{bytes} bytes in {descriptors} {noun}")
    }
}

/// The error of a transfer that could not be completed.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let queue = &mut fixture.queue;
/// # fixture.driver.add(&DriverChain::new().readable(b"abc")).unwrap();
/// use virtio_chain::{ReadableChain, TransferError};
///
/// let mut request = ReadableChain::new(queue.next_chain()?.ok_or("nothing is available")?);
/// let error = request.read_obj::<[u8; 8]>().unwrap_err();
/// assert_eq!(error, TransferError::Short { wanted: 8, available: 3 });
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferError {
    /// The chain is malformed.
    Chain(ChainError),
    /// The chain is well-formed but too short.
    Short {
        /// The number of bytes that the transfer needed.
        wanted: u64,
        /// The number of bytes that were left.
        available: u64,
    },
}

impl TransferError {
    #[inline]
    pub(crate) fn unless_whole(wanted: usize, available: usize) -> Result<(), Self> {
        if available < wanted {
            return Err(Self::Short { wanted: wanted as u64, available: available as u64 });
        }
        Ok(())
    }
}

impl From<ChainError> for TransferError {
    fn from(error: ChainError) -> Self {
        Self::Chain(error)
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain(error) => error.fmt(f),
            Self::Short { wanted, available } => {
                write!(f, "the chain must have {wanted} bytes left, and has {available}")
            }
        }
    }
}

impl error::Error for TransferError {}

/// The error of a chain that is not complete, or less complete than the device claimed.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let queue = &mut fixture.queue;
/// # fixture.driver.add(&DriverChain::new().writable(4)).unwrap();
/// use virtio_chain::WritableChain;
///
/// let mut answer = WritableChain::new(queue.next_chain()?.ok_or("nothing is available")?);
/// answer.write_all(b"a")?;
/// let error = answer.return_complete().unwrap_err();
/// assert_eq!(error.to_string(), "not written: 3 bytes in 1 element; write all writable bytes first");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IncompleteError {
    /// Some readable bytes were not read.
    Unread(Remaining),
    /// Some writable bytes were not written.
    Unwritten(Remaining),
    /// The device claimed more bytes than it wrote. The driver would read bytes that the device did not write
    /// (SPLIT-USED-4).
    NotWritten {
        /// The number of bytes that the device claimed.
        claimed: u32,
        /// The number of bytes that the device wrote.
        written: u64,
    },
    /// The chain is malformed.
    Chain(ChainError),
    /// The chain is complete but could not be returned.
    Return(ReturnError),
}

impl From<ChainError> for IncompleteError {
    fn from(error: ChainError) -> Self {
        Self::Chain(error)
    }
}

impl From<ReturnError> for IncompleteError {
    fn from(error: ReturnError) -> Self {
        Self::Return(error)
    }
}

impl fmt::Display for IncompleteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread(left) => write!(f, "not read: {left}; read or skip all readable bytes first"),
            Self::Unwritten(left) => write!(f, "not written: {left}; write all writable bytes first"),
            Self::NotWritten { claimed, written } => {
                write!(f, "{claimed} bytes were claimed, but {written} were written: claim at most {written}")
            }
            Self::Chain(error) => error.fmt(f),
            Self::Return(error) => error.fmt(f),
        }
    }
}

impl error::Error for IncompleteError {}

/// The error of a join between parts that do not follow each other.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let queue = &mut fixture.queue;
/// # fixture.driver.add(&DriverChain::new().writable(12)).unwrap();
/// use virtio_chain::{JoinError, Writer};
///
/// let chain = queue.next_chain()?.ok_or("nothing is available")?;
/// let mut first = Writer::new(&chain);
/// let mut second = first.split_at(3)?;
/// let third = second.split_at(4)?;
/// let refused = first.try_join(third).unwrap_err();
/// assert_eq!(refused.error, JoinError::Apart { start: 7, end: Some(3) });
/// first.join(second)?;
/// first.join(refused.chain)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// The tail is a part of another chain.
    OtherChain {
        /// The id of the chain that the tail belongs to.
        tail: u16,
        /// The id of the chain that this part belongs to.
        id: u16,
    },
    /// The tail does not begin where this part ends.
    Apart {
        /// The position at which the tail begins, in bytes.
        start: u64,
        /// The position at which this part ends, in bytes. `None` if this part was not split: it ends where the chain
        /// ends.
        end: Option<u64>,
    },
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherChain { tail, id } => {
                write!(f, "a part of chain {tail} cannot be joined to a part of chain {id}")
            }
            Self::Apart { start, end: None } => {
                write!(f, "the part from byte {start} cannot follow a part that ends where the chain ends")
            }
            Self::Apart { start, end: Some(end) } => {
                write!(
                    f,
                    "the part from byte {start} cannot follow a part that ends at byte {end}: join the part from \
                     byte {end}"
                )
            }
        }
    }
}

impl error::Error for JoinError {}
