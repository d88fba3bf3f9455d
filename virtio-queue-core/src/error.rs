//! What a driver can do wrong, and what a device can.

use core::{error, fmt};

use virtio_mem_traits::{AreaError, DriverAddr, TranslateError};
use virtio_ring::split::{DescriptorIndex, TableError};

/// A violation after which the positions in the rings are not known any more: the queue is broken until it is reset.
///
/// VIRTIO leaves the reaction to the device but for one hint: it should set DEVICE_NEEDS_RESET (GEN-2).
///
/// ```
/// use virtio_queue_core::FatalError;
///
/// let fault = FatalError::EndlessList { size: 8 };
/// assert_eq!(fault.to_string(), "a list in the packed ring has no end: it must have at most 8 descriptors");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FatalError {
    /// The driver made more buffers available than the queue has room for beside those in flight (HOST-3, HOST-4).
    Oversubscribed {
        /// How many are available, as the driver says.
        available: u16,
        /// How many are in flight.
        in_flight: u16,
        /// The queue size.
        size: u16,
    },
    /// The driver made a chain available whose head is outside of the table (HOST-1).
    HeadOutOfRange {
        /// The head.
        head: DescriptorIndex,
        /// The queue size.
        size: u16,
    },
    /// A packed ring is one list of descriptors without an end (DRV-PSG-1).
    EndlessList {
        /// The queue size.
        size: u16,
    },
    /// An area of the queue cannot be accessed any more (HOST-13).
    Area(AreaError),
    /// The ring was used with the positions of a ring of the other format: a mistake on this side.
    ForeignPositions,
    /// The device panicked while it served chains, and nobody knows which of them were used: a mistake on this side.
    Panicked,
}

impl From<AreaError> for FatalError {
    #[cold]
    fn from(error: AreaError) -> Self {
        Self::Area(error)
    }
}

impl fmt::Display for FatalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oversubscribed { available, in_flight, size } => {
                write!(
                    f,
                    "the driver made {available} buffers available beside {in_flight} in flight: together they must be at most \
                     the queue size {size}"
                )
            }
            Self::HeadOutOfRange { head, size } => {
                write!(f, "the available ring names descriptor {head}: it must be less than the queue size {size}")
            }
            Self::EndlessList { size } => {
                write!(f, "a list in the packed ring has no end: it must have at most {size} descriptors")
            }
            Self::ForeignPositions => f.write_str("the positions belong to a ring of the other format"),
            Self::Panicked => f.write_str("the device panicked while it served chains"),
            Self::Area(error) => write!(f, "an area of the queue is lost: {error}"),
        }
    }
}

impl error::Error for FatalError {}

/// A malformed chain. Only this chain is affected: it can be returned, and those after it are fetched as ever.
///
/// ```
/// use virtio_queue_core::{ChainError, ChainErrorKind};
///
/// let error = ChainError { id: 3, kind: ChainErrorKind::TooManyElements { limit: 8 } };
/// assert_eq!(error.to_string(), "chain 3: more elements than the limit of 8");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainError {
    /// The chain: its head's index in a split virtqueue, its Buffer ID in a packed one.
    pub id: u16,
    /// What is wrong with it.
    pub kind: ChainErrorKind,
}

/// What is wrong with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChainErrorKind {
    /// The chain goes on at a descriptor that the table does not have (HOST-2).
    NextOutOfRange {
        /// The index of the missing descriptor.
        next: DescriptorIndex,
    },
    /// There are more elements than are allowed in a chain, or the chain is a loop (DRV-DESC-2, DRV-IND-3).
    TooManyElements {
        /// How many are allowed.
        limit: u32,
    },
    /// The elements add up to more than 2^32 bytes (DRV-DESC-1).
    TooManyBytes {
        /// How many they add up to, up to the one that is too many.
        total: u64,
    },
    /// A device-readable element follows a device-writable one (DRV-FRM-1).
    ReadableAfterWritable {
        /// The address of the readable element.
        addr: DriverAddr,
    },
    /// An element or an indirect table would end beyond 2^64 (HOST-9).
    RangeOverflow {
        /// Its address.
        addr: DriverAddr,
        /// Its length in bytes.
        len: u32,
    },
    /// An indirect descriptor, although the feature was not negotiated (DRV-IND-1).
    IndirectNotNegotiated,
    /// An indirect descriptor in an indirect table (DRV-IND-2).
    NestedIndirect,
    /// An indirect descriptor that the chain is meant to go on after (DRV-IND-4).
    IndirectWithNext,
    /// The length of an indirect table is zero, no multiple of 16, or for more descriptors than are allowed in a chain
    /// (HOST-7, HOST-8).
    TableLen {
        /// The length in bytes.
        len: u32,
    },
    /// An element or an indirect table cannot be accessed (HOST-11, HOST-12).
    Memory(TranslateError),
}

impl From<TableError> for ChainErrorKind {
    #[cold]
    fn from(error: TableError) -> Self {
        match error {
            TableError::NoEntry { index, .. } => Self::NextOutOfRange { next: index },
            TableError::Translate(error) => Self::Memory(error),
        }
    }
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chain {}: {}", self.id, self.kind)
    }
}

impl fmt::Display for ChainErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NextOutOfRange { next } => {
                write!(f, "it goes on at descriptor {next}, which its table does not have")
            }
            Self::TooManyElements { limit } => write!(f, "more elements than the limit of {limit}"),
            Self::TooManyBytes { total } => write!(f, "{total} bytes in its elements: there must be at most 2^32"),
            Self::ReadableAfterWritable { addr } => {
                write!(f, "the device-readable element at {addr} must come before the device-writable ones")
            }
            Self::RangeOverflow { addr, len } => write!(f, "{len} bytes at {addr} end beyond 2^64"),
            Self::IndirectNotNegotiated => {
                f.write_str("an indirect descriptor, but INDIRECT_DESC (feature bit 28) was not negotiated")
            }
            Self::NestedIndirect => f.write_str("an indirect descriptor inside of an indirect table"),
            Self::IndirectWithNext => f.write_str(
                "an indirect descriptor must be the last of its chain, and alone in a list of a packed ring",
            ),
            Self::TableLen { len } => write!(
                f,
                "an indirect table of {len} bytes: it must be a multiple of 16 from 16 to 16 times the limit on elements"
            ),
            Self::Memory(error) => error.fmt(f),
        }
    }
}

impl error::Error for ChainError {}

/// A chain that could not be returned to the driver.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let queue = &mut fixture.queue;
/// # let driver = &mut fixture.driver;
/// use virtio_queue_core::ReturnError;
///
/// driver.add(&DriverChain::new().writable(4)).unwrap();
/// let chain = queue.next_chain()?.ok_or("nothing is available")?;
/// assert_eq!(chain.return_written(5), Err(ReturnError::TooLong { written: 5, writable: 4 }));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReturnError {
    /// The token was made by another queue, or before a reset, or was used already. Nothing was touched (QRST-8).
    Stale {
        /// The chain that it stood for.
        id: u16,
    },
    /// The chain cannot be put back: another one was fetched later. Put that one back first; if it has been returned,
    /// this one must be returned as well.
    NotLast {
        /// The chain that was to be put back.
        id: u16,
    },
    /// More bytes are said to be written than the chain has room for (SPLIT-USED-10).
    TooLong {
        /// How many bytes are said to be written.
        written: u32,
        /// How many bytes are writable.
        writable: u64,
    },
    /// The queue is broken: there is nowhere to return a chain to.
    Broken(FatalError),
}

impl From<FatalError> for ReturnError {
    fn from(error: FatalError) -> Self {
        Self::Broken(error)
    }
}

impl fmt::Display for ReturnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale { id } => write!(f, "chain {id} is not in flight in this queue"),
            Self::NotLast { id } => write!(
                f,
                "chain {id} cannot be put back: a chain that was fetched after it must be put back first, or was returned"
            ),
            Self::TooLong { written, writable } => {
                write!(f, "{written} bytes are said to be written, and the chain has room for {writable}")
            }
            Self::Broken(error) => write!(f, "the queue is broken: {error}"),
        }
    }
}

impl error::Error for ReturnError {}

/// A chain that an earlier life of the queue is said to have fetched, and that cannot be in flight.
///
/// ```
/// # use virtio_fake_driver::SplitFixture;
/// # let mut fixture = SplitFixture::new(16);
/// # let queue = &mut fixture.queue;
/// use virtio_queue_core::{AdoptError, Head};
///
/// let refused = queue.adopt(Head::new(16, 0, 1)).unwrap_err();
/// assert_eq!(refused, AdoptError::Head { id: 16, slots: 1, in_flight: 0, size: 16 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdoptError {
    /// The ring can have no such chain beside those that are in flight.
    Head {
        /// What the driver is said to know it by.
        id: u16,
        /// How many slots it is said to take.
        slots: u16,
        /// How many slots are in flight.
        in_flight: u16,
        /// The queue size.
        size: u16,
    },
    /// The queue is broken.
    Broken(FatalError),
}

impl fmt::Display for AdoptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head { id, slots, in_flight, size } => write!(
                f,
                "an earlier life of this queue of {size} cannot have chain {id} with {slots} slots in flight: the positions that it was \
                 restored at leave no room for it beside {in_flight} slots in flight"
            ),
            Self::Broken(error) => write!(f, "the queue is broken: {error}"),
        }
    }
}

impl error::Error for AdoptError {}

/// An operation that was refused, with the chain that it would have used up.
///
/// Dropping it drops the chain, which returns it to the driver with nothing written.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let queue = &mut fixture.queue;
/// # let driver = &mut fixture.driver;
/// use virtio_queue_core::Refused;
///
/// driver.add(&DriverChain::new().writable(4)).unwrap();
/// let chain = queue.next_chain()?.ok_or("nothing is available")?;
/// if let Err(Refused { chain, error }) = chain.try_return_written(5) {
///     eprintln!("{error}");
///     chain.return_written(4)?;
/// }
/// # assert_eq!(driver.reap().unwrap().unwrap().len, 4);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Refused<C, E> {
    /// The chain, as it was before.
    pub chain: C,
    /// Why it was refused.
    pub error: E,
}

impl<C, E: fmt::Display> fmt::Display for Refused<C, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<C: fmt::Debug, E: error::Error> error::Error for Refused<C, E> {}
