//! Processes one request at a time.

use std::io;

use arrayvec::ArrayVec;
use virtio_chain::{Reader, TransferError, Writer};
use virtio_queue_core::ChainElements;
use zerocopy::{FromZeros, IntoBytes};

use super::BlockDevice;
use super::error::RequestError;
use super::moving::{read_chain, write_chain};
use super::storage::Storage;
use super::wire::{MAX_SEGMENT_SECTORS, MAX_SEGMENTS, RequestHeader, RequestType, SECTOR_SIZE, Segment};

impl<S: Storage> BlockDevice<S> {
    /// Processes `request`, writes its result to `payload`, and returns the number of bytes of storage.
    pub(super) fn execute<C: ChainElements>(
        &self,
        request: &mut Reader<&C>,
        payload: &mut Writer<&C>,
    ) -> Result<u64, RequestError> {
        let header: RequestHeader = request.read_obj()?;
        let kind = header.kind.get();
        match RequestType::from_number(kind).ok_or(RequestError::UnknownType(kind))? {
            RequestType::In => self.read(header.sector.get(), payload),
            RequestType::Out => self.write(header.sector.get(), request),
            RequestType::Flush => {
                self.storage.flush()?;
                Ok(0)
            }
            RequestType::GetId => self.get_id(payload),
            RequestType::Discard => self.clear(request, 0, |storage, _, offset, len| storage.discard(offset, len)),
            RequestType::WriteZeroes => {
                let len = self.clear(request, Segment::UNMAP, zero)?;
                self.commit()?;
                Ok(len)
            }
        }
    }

    fn read(&self, sector: u64, payload: &mut Writer<impl ChainElements>) -> Result<u64, RequestError> {
        let len = payload.remaining()?.bytes;
        let start = self.offset(sector, len)?;
        let inside = self.inside(start, len);
        check_whole(inside, read_chain(&self.storage, payload, inside, start)?)?;
        // The storage does not have these bytes of the last sector.
        payload.fill(len - inside, 0)?;
        Ok(len)
    }

    fn write(&self, sector: u64, payload: &mut Reader<&impl ChainElements>) -> Result<u64, RequestError> {
        self.check_writable()?;
        let len = payload.remaining()?.bytes;
        let start = self.offset(sector, len)?;
        let inside = self.inside(start, len);
        // The missing bytes of the last sector accept only zeroes, because they are always read as zeroes.
        #[expect(clippy::cast_possible_truncation, reason = "it is 512")]
        let mut padding = [0; SECTOR_SIZE as usize];
        payload.split_at(inside)?.read(&mut padding)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the last sector is not all there").into());
        }
        check_whole(inside, write_chain(&self.storage, payload, inside, start)?)?;
        self.commit()?;
        Ok(len)
    }

    fn get_id(&self, payload: &mut Writer<impl ChainElements>) -> Result<u64, RequestError> {
        let (id, len) = (self.id.as_bytes(), payload.remaining()?.bytes);
        if len != id.len() as u64 {
            return Err(RequestError::PayloadLen { len, unit: id.len() as u64 });
        }
        payload.write_all(id)?;
        Ok(len)
    }

    /// Calls `clear` for each segment of a request, if all segments are valid.
    fn clear(
        &self,
        request: &mut Reader<impl ChainElements>,
        known_flags: u32,
        clear: impl Fn(&S, bool, u64, u64) -> io::Result<()>,
    ) -> Result<u64, RequestError> {
        let mut bytes = 0;
        for Extent { offset, len, unmap } in self.extents(request, known_flags)? {
            if len > 0 {
                clear(&self.storage, unmap, offset, len)?;
            }
            bytes += len;
        }
        Ok(bytes)
    }

    /// Returns what a request is to clear, if all of its segments are valid.
    pub(super) fn extents(
        &self,
        request: &mut Reader<impl ChainElements>,
        known_flags: u32,
    ) -> Result<Extents, RequestError> {
        let mut storage = Segments::new_zeroed();
        let segments = read_segments(request, known_flags, &mut storage)?;
        self.check_writable()?;
        segments.iter().map(|segment| self.extent(segment)).collect()
    }

    /// Returns where a segment is in the storage, without the padding of the last sector.
    fn extent(&self, segment: &Segment) -> Result<Extent, RequestError> {
        let sectors = segment.num_sectors.get();
        if sectors > MAX_SEGMENT_SECTORS {
            return Err(RequestError::SegmentTooLong { sectors });
        }
        let len = u64::from(sectors) * SECTOR_SIZE;
        let offset = self.offset(segment.sector.get(), len)?;
        let unmap = segment.flags.get() & Segment::UNMAP != 0;
        Ok(Extent { offset, len: self.inside(offset, len), unmap })
    }

    /// Returns how many of the `len` bytes at `offset` the storage has. It has fewer if the last sector is padded.
    pub(super) fn inside(&self, offset: u64, len: u64) -> u64 {
        len.min(self.size.saturating_sub(offset))
    }

    /// Returns the offset of `sector`, if the device has all sectors of the `len` bytes from there.
    pub(super) fn offset(&self, sector: u64, len: u64) -> Result<u64, RequestError> {
        if len % SECTOR_SIZE != 0 {
            return Err(RequestError::PayloadLen { len, unit: SECTOR_SIZE });
        }
        let (sectors, capacity) = (len / SECTOR_SIZE, self.capacity());
        match capacity.checked_sub(sector) {
            // Only an empty range at the end of 2^64 bytes saturates.
            Some(left) if sectors <= left => Ok(sector.saturating_mul(SECTOR_SIZE)),
            _ => Err(RequestError::OutOfRange { sector, sectors, capacity }),
        }
    }

    /// Returns the offset of a payload of `len` bytes from `sector` on, if the storage has all of it, and if it is not
    /// empty.
    pub(super) fn place(&self, sector: u64, len: u64) -> Option<u64> {
        let offset = self.offset(sector, len).ok()?;
        (len > 0 && self.inside(offset, len) == len).then_some(offset)
    }

    fn check_writable(&self) -> Result<(), RequestError> {
        if self.storage.read_only() { Err(RequestError::ReadOnly) } else { Ok(()) }
    }

    /// Makes written bytes stable, if the driver does not flush.
    fn commit(&self) -> io::Result<()> {
        if self.writes_through() { self.storage.flush() } else { Ok(()) }
    }
}

/// Sets bytes to zero. Unless the driver said that they can be released, they stay allocated: VIRTIO 1.4 §5.2.6.2
/// "Device Requirements: Device Operation".
fn zero(storage: &impl Storage, unmap: bool, offset: u64, len: u64) -> io::Result<()> {
    if unmap { storage.release(offset, len) } else { storage.write_zeroes(offset, len) }
}

/// A part of the storage that is to be cleared.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    pub(super) offset: u64,
    /// It is 0 if the segment is empty, or has only the padding of the last sector.
    pub(super) len: u64,
    /// Whether the driver said that the space can be released.
    pub(super) unmap: bool,
}

/// What one request clears.
pub(super) type Extents = ArrayVec<Extent, { MAX_SEGMENTS as usize }>;

/// The segments of one request.
type Segments = [Segment; MAX_SEGMENTS as usize];

/// Copies the rest of a request to `storage`, before it is inspected, and returns it as segments.
///
/// The error for a flag that is not in `known` comes before all errors of the sectors: VIRTIO 1.4 §5.2.6.2 "Device
/// Requirements: Device Operation".
fn read_segments<'s>(
    request: &mut Reader<impl ChainElements>,
    known: u32,
    storage: &'s mut Segments,
) -> Result<&'s [Segment], RequestError> {
    let (len, unit) = (request.remaining()?.bytes, size_of::<Segment>() as u64);
    if len == 0 || len % unit != 0 {
        return Err(RequestError::PayloadLen { len, unit });
    }
    let count = usize::try_from(len / unit).unwrap_or(usize::MAX);
    let segments = storage.get_mut(..count).ok_or(RequestError::TooManySegments { segments: len / unit })?;
    request.read_exact(segments.as_mut_bytes())?;
    match segments.iter().map(|segment| segment.flags.get() & !known).find(|unknown| *unknown != 0) {
        Some(unknown) => Err(RequestError::UnknownFlags(unknown)),
        None => Ok(segments),
    }
}

/// Checks that all of `wanted` bytes were moved. Fewer were moved if the driver has changed its chain meanwhile.
fn check_whole(wanted: u64, available: u64) -> Result<(), TransferError> {
    if available < wanted { Err(TransferError::Short { wanted, available }) } else { Ok(()) }
}
