//! The error of a request.

use core::error::Error;
use core::fmt;
use std::io;

use virtio_chain::{TransferCause, TransferError};
use virtio_queue_core::{ChainError, ReturnError};

use super::wire::{MAX_SEGMENT_SECTORS, MAX_SEGMENTS, Status};

/// The reason why a request failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum RequestError {
    /// The chain has no writable byte for the status.
    NoStatus,
    /// The chain is malformed, or too short for a whole header.
    Transfer(TransferError),
    /// The device does not know the request type.
    UnknownType(u32),
    /// A segment has flags that the device or the request type does not support.
    UnknownFlags(u32),
    /// The length of the payload is invalid for the request type.
    PayloadLen {
        /// The length in bytes.
        len: u64,
        /// The unit: the length must be a multiple of it, or equal to it.
        unit: u64,
    },
    /// The request is for sectors beyond the end of the device.
    OutOfRange {
        /// The first sector.
        sector: u64,
        /// The number of sectors in the request.
        sectors: u64,
        /// The number of sectors of the device.
        capacity: u64,
    },
    /// The request has more segments than [`MAX_SEGMENTS`](super::MAX_SEGMENTS).
    TooManySegments {
        /// The number of segments in the request.
        segments: u64,
    },
    /// A segment has more sectors than [`MAX_SEGMENT_SECTORS`](super::MAX_SEGMENT_SECTORS).
    SegmentTooLong {
        /// The number of sectors in the segment.
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
    /// Returns the status byte for the driver. Returns `None` if there is no place for it.
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
