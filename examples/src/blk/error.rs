//! Why a request fails.

use core::error::Error;
use core::fmt;
use std::io;

use virtio_chain::{TransferCause, TransferError};
use virtio_queue_core::{ChainError, ReturnError};

use super::{MAX_SEGMENT_SECTORS, MAX_SEGMENTS, Status};

/// A request that failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum RequestError {
    /// The chain has no writable byte, so there is no place for a status.
    NoStatus,
    /// The chain is malformed, or too short to have a whole header.
    Transfer(TransferError),
    /// A type of request that the device does not know.
    UnknownType(u32),
    /// Flags in a segment that the device does not know, or that its type of request does not have.
    UnknownFlags(u32),
    /// A payload that cannot be of this length for its type of request.
    PayloadLen {
        /// The length in bytes.
        len: u64,
        /// What it has to be a multiple of, or to be.
        unit: u64,
    },
    /// Sectors that the device does not have.
    OutOfRange {
        /// The first of them.
        sector: u64,
        /// How many there are.
        sectors: u64,
        /// How many the device has.
        capacity: u64,
    },
    /// More segments than [`MAX_SEGMENTS`](super::MAX_SEGMENTS).
    TooManySegments {
        /// How many there are.
        segments: u64,
    },
    /// A segment of more than [`MAX_SEGMENT_SECTORS`](super::MAX_SEGMENT_SECTORS).
    SegmentTooLong {
        /// How many sectors it has.
        sectors: u32,
    },
    /// The request would change a device that is read-only.
    ReadOnly,
    /// The storage failed.
    Storage(io::Error),
    /// The chain could not be returned: its queue is broken.
    Return(ReturnError),
}

impl RequestError {
    /// Returns the status that tells a driver of it, if there is a place to write it to.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self {
            Self::UnknownType(_) | Self::UnknownFlags(_) => Status::Unsupp,
            _ => Status::IoErr,
        }
    }
}

impl From<ChainError> for RequestError {
    fn from(error: ChainError) -> Self {
        Self::Transfer(error.into())
    }
}

impl From<TransferError> for RequestError {
    fn from(error: TransferError) -> Self {
        Self::Transfer(error)
    }
}

impl From<TransferCause<io::Error>> for RequestError {
    fn from(cause: TransferCause<io::Error>) -> Self {
        match cause {
            TransferCause::Chain(error) => error.into(),
            TransferCause::Work(error) => Self::Storage(error),
            cause => Self::Storage(io::Error::other(cause)),
        }
    }
}

impl From<io::Error> for RequestError {
    fn from(error: io::Error) -> Self {
        Self::Storage(error)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStatus => f.write_str("the chain has no writable byte: it must have one for the status"),
            Self::Transfer(error) => error.fmt(f),
            Self::UnknownType(kind) => write!(f, "unknown request type {kind}"),
            Self::UnknownFlags(flags) => write!(f, "unknown flags {flags:#x}"),
            Self::PayloadLen { len, unit } => write!(f, "{len} bytes of payload where {unit} at a time are wanted"),
            Self::OutOfRange { sector, sectors, capacity } => {
                write!(f, "{sectors} sectors from {sector} on, of a device of {capacity}")
            }
            Self::TooManySegments { segments } => {
                write!(f, "{segments} segments: there must be at most {MAX_SEGMENTS}")
            }
            Self::SegmentTooLong { sectors } => {
                write!(f, "a segment of {sectors} sectors: it must have at most {MAX_SEGMENT_SECTORS}")
            }
            Self::ReadOnly => f.write_str("the device is read-only"),
            Self::Storage(error) => write!(f, "the storage failed: {error}"),
            Self::Return(error) => error.fmt(f),
        }
    }
}

impl Error for RequestError {}
