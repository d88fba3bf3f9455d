//! What can go wrong on the way between bytes and a chain.

use core::{error, fmt};

use virtio_queue_core::{ChainError, ReturnError};

/// How much there is from some position on.
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
    /// In bytes.
    pub bytes: u64,
    /// In elements, the one that the position is in included; those without bytes are none.
    pub descriptors: u32,
}

impl fmt::Display for Remaining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, descriptors } = self;
        let noun = if *descriptors == 1 { "element" } else { "elements" };
        write!(f, "{bytes} bytes in {descriptors} {noun}")
    }
}

/// A transfer that had to be whole and was not.
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
    /// The chain is well-formed, but too short.
    Short {
        /// How many bytes were wanted.
        wanted: u64,
        /// How many there were.
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

/// A chain that is not complete, or not as complete as was claimed.
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
/// assert_eq!(error.to_string(), "not written: 3 bytes in 1 element; write all of the chain first");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IncompleteError {
    /// There are readable bytes that were not read.
    Unread(Remaining),
    /// There are writable bytes that were not written.
    Unwritten(Remaining),
    /// More bytes are said to be written than were. The driver would read what nobody wrote (SPLIT-USED-4).
    NotWritten {
        /// How many bytes the driver was to be told of.
        claimed: u32,
        /// How many were written.
        written: u64,
    },
    /// The chain is malformed.
    Chain(ChainError),
    /// The chain is complete, but could not be returned.
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
            Self::Unread(left) => write!(f, "not read: {left}; read or skip all that is readable first"),
            Self::Unwritten(left) => write!(f, "not written: {left}; write all of the chain first"),
            Self::NotWritten { claimed, written } => {
                write!(f, "{claimed} bytes were claimed, and {written} were written: claim no more than that")
            }
            Self::Chain(error) => error.fmt(f),
            Self::Return(error) => error.fmt(f),
        }
    }
}

impl error::Error for IncompleteError {}

/// A part that does not follow the part that it was to be joined to.
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
        /// The chain that it is a part of.
        tail: u16,
        /// The chain that it was to be joined to.
        id: u16,
    },
    /// The tail does not begin where this part ends.
    Apart {
        /// The position at which the tail begins, in bytes.
        start: u64,
        /// The position at which this part ends, in bytes. `None` if it was not split: it ends where the chain does.
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
                write!(f, "a part from byte {start} on cannot follow one that goes on to the end of the chain")
            }
            Self::Apart { start, end: Some(end) } => {
                write!(
                    f,
                    "a part from byte {start} on cannot follow one that ends at byte {end}: join what begins there"
                )
            }
        }
    }
}

impl error::Error for JoinError {}
