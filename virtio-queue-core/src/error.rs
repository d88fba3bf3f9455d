//! Errors caused by the driver, and by misuse.

use core::{error, fmt};

use virtio_mem_traits::{AreaError, DriverAddr, TranslateError};
use virtio_ring::split::{DescriptorIndex, TableError};

/// An error that breaks the queue until it is reset.
///
/// After it, the positions in the rings are not known any more.
///
/// The device should set DEVICE_NEEDS_RESET. VIRTIO does not say more about the reaction (GEN-2).
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
    /// The driver made more buffers available than the queue has room for.
    ///
    /// The buffers in flight take room as well (HOST-3, HOST-4, HOST-5, DRV-PSG-3, DRV-PDESC-1). An available index
    /// that was taken back looks like a jump forward (DRV-AVAIL-1).
    Oversubscribed {
        /// The number of available buffers, as the driver claims.
        available: u16,
        /// The number of buffers in flight.
        in_flight: u16,
        /// The queue size.
        size: u16,
    },
    /// The driver made a chain available whose head is outside the descriptor table.
    ///
    /// See HOST-1.
    HeadOutOfRange {
        /// The head.
        head: DescriptorIndex,
        /// The queue size.
        size: u16,
    },
    /// A list in a packed ring has no last descriptor.
    ///
    /// Every descriptor of the ring says that the list continues (DRV-PSG-1, DRV-PIND-4).
    EndlessList {
        /// The queue size.
        size: u16,
    },
    /// An area of the queue cannot be accessed any more.
    ///
    /// See HOST-13, DRV-FEAT-4 and DRV-RST-1.
    Area(AreaError),
    /// The ring was used with the positions of a ring of the other format. This is a mistake of the device.
    ForeignPositions,
    /// The device panicked while it served chains. This is a mistake of the device: it is not known which chains were
    /// used.
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
                    "the driver made {available} buffers available beside {in_flight} in flight: \
                     together they must be at most the queue size {size}"
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

/// An error in one chain.
///
/// Only this chain is affected. It can be returned by its id, and the chains after it can be fetched (HOST-28,
/// HOST-29).
///
/// ```
/// use virtio_queue_core::{ChainError, ChainErrorKind};
///
/// let error = ChainError { id: 3, kind: ChainErrorKind::TooManyElements { limit: 8 } };
/// assert_eq!(error.to_string(), "chain 3: it has too many elements: there must be at most 8");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainError {
    /// The id of the chain: the index of its head in a split ring, its Buffer ID in a packed ring.
    pub id: u16,
    /// The kind of the error.
    pub kind: ChainErrorKind,
}

/// The kind of an error in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChainErrorKind {
    /// The index of the next descriptor is outside the descriptor table.
    ///
    /// See HOST-2.
    NextOutOfRange {
        /// The index of the descriptor that the table does not have.
        next: DescriptorIndex,
    },
    /// The chain has more elements than the limit allows.
    ///
    /// A chain that is a loop ends with this error as well (DRV-DESC-2, DRV-IND-3, DRV-FRM-2, DRV-PSG-1).
    TooManyElements {
        /// The largest number of elements.
        limit: u32,
    },
    /// The elements have more than 2^32 bytes together.
    ///
    /// See DRV-DESC-1 and HOST-17.
    TooManyBytes {
        /// The number of bytes, up to and including the element that exceeds the limit.
        total: u64,
    },
    /// A device-readable element follows a device-writable one.
    ///
    /// See DRV-FRM-1 and DRV-PSG-2.
    ReadableAfterWritable {
        /// The address of the readable element.
        addr: DriverAddr,
    },
    /// An element or an indirect table would end beyond 2^64.
    ///
    /// See HOST-9. One that ends at 2^64 is not refused for that (HOST-10).
    RangeOverflow {
        /// The address of the element or table.
        addr: DriverAddr,
        /// The length of the element or table, in bytes.
        len: u32,
    },
    /// The chain has an indirect descriptor, but INDIRECT_DESC was not negotiated.
    ///
    /// See DRV-IND-1 and DRV-PIND-1.
    IndirectNotNegotiated,
    /// An indirect table contains an indirect descriptor.
    ///
    /// See DRV-IND-2.
    NestedIndirect,
    /// An indirect descriptor is not the last descriptor of its chain.
    ///
    /// In a packed ring, it must be the only descriptor of its list (DRV-IND-4, DRV-PIND-4).
    IndirectWithNext,
    /// The length of an indirect table is wrong.
    ///
    /// The length must be a multiple of 16, at least 16, and at most 16 times the limit on elements (HOST-7, HOST-8,
    /// DRV-PIND-3).
    TableLen {
        /// The length in bytes.
        len: u32,
    },
    /// An element or an indirect table cannot be accessed.
    ///
    /// See HOST-11, HOST-12, HOST-17, HOST-32, DRV-FEAT-4 and DRV-RST-1.
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
                write!(f, "the index {next} of the next descriptor is outside its descriptor table")
            }
            Self::TooManyElements { limit } => write!(f, "it has too many elements: there must be at most {limit}"),
            Self::TooManyBytes { total } => {
                write!(f, "its elements have {total} bytes together: there must be at most 2^32")
            }
            Self::ReadableAfterWritable { addr } => {
                write!(f, "the device-readable element at {addr} must come before the device-writable ones")
            }
            Self::RangeOverflow { addr, len } => {
                write!(f, "{len} bytes at {addr} end beyond 2^64: they must end at 2^64 or before")
            }
            Self::IndirectNotNegotiated => {
                f.write_str("it has an indirect descriptor, but INDIRECT_DESC (feature bit 28) was not negotiated")
            }
            Self::NestedIndirect => f.write_str("an indirect table contains an indirect descriptor"),
            Self::IndirectWithNext => f.write_str(
                "an indirect descriptor must be the last of its chain, and alone in a list of a packed ring",
            ),
            Self::TableLen { len } => write!(
                f,
                "an indirect table has {len} bytes: it must be a multiple of 16, \
                 from 16 to 16 times the limit on elements"
            ),
            Self::Memory(error) => error.fmt(f),
        }
    }
}

impl error::Error for ChainError {}

/// The reason why a chain was not returned or put back.
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
    /// The chain of the token is not in flight in this queue.
    ///
    /// The token is of another queue, or was made before a reset, or was used already. Nothing was touched (QRST-8).
    Stale {
        /// The id of the chain.
        id: u16,
    },
    /// The chain cannot be put back, because another one was fetched later. Put the later chain back first. If the
    /// later chain was returned, this one must be returned as well.
    NotLast {
        /// The id of the chain that was to be put back.
        id: u16,
    },
    /// The written length is more than the chain has writable bytes.
    ///
    /// See SPLIT-USED-10.
    TooLong {
        /// The number of bytes that the caller said were written.
        written: u32,
        /// The number of writable bytes in the chain.
        writable: u64,
    },
    /// The queue is broken and takes no chain.
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
            Self::Stale { id } => {
                write!(f, "chain {id} is not in flight in this queue: a token must be used once, before a reset")
            }
            Self::NotLast { id } => {
                write!(f, "chain {id} cannot be put back: all chains that were fetched after it must be put back first")
            }
            Self::TooLong { written, writable } => {
                write!(f, "the written length is {written} bytes: it must be at most {writable}")
            }
            Self::Broken(error) => write!(f, "the queue is broken: {error}"),
        }
    }
}

impl error::Error for ReturnError {}

/// The reason why a chain of an earlier life of the queue cannot be adopted.
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
    /// The ring has no room for this chain beside the chains in flight.
    Head {
        /// The recorded id of the chain.
        id: u16,
        /// The recorded number of slots of the chain.
        slots: u16,
        /// The number of slots in flight.
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
                "chain {id} with {slots} slots cannot be in flight in this queue of {size}: the restored positions \
                 have no room for it beside {in_flight} slots in flight"
            ),
            Self::Broken(error) => write!(f, "the queue is broken: {error}"),
        }
    }
}

impl error::Error for AdoptError {}

/// An error of an operation that takes a chain, with that chain.
///
/// If the error is dropped, the chain is dropped too. A dropped chain returns to the driver with nothing written. A
/// dropped token does not.
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
    /// The chain, unchanged.
    pub chain: C,
    /// The reason why the operation failed.
    pub error: E,
}

impl<C, E: fmt::Display> fmt::Display for Refused<C, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<C: fmt::Debug, E: error::Error> error::Error for Refused<C, E> {}
