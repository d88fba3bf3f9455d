//! A position in one half of a chain.

use core::fmt;

use virtio_mem_traits::{Access, DeviceRange, DriverMem, DriverRange, TranslateError};
use virtio_queue_core::{Chain, ChainError, ChainErrorKind, Walk};

use crate::{Remaining, TransferError};

/// A position in the readable or in the writable half of a chain.
///
/// An element is translated piece by piece as the position reaches it, since it may cross from one region of memory into
/// another. How the driver has cut its message is not visible from outside (FRAME-1).
#[derive(Clone)]
pub(crate) struct Cursor<'m, W> {
    walk: W,
    id: u16,
    /// Which half: the access of its elements.
    access: Access,
    /// What is left of the current element.
    rest: DriverRange,
    /// INVARIANT: the translated beginning of `rest`, and no more than that.
    piece: DeviceRange<'m>,
    /// How many bytes of this half lie before the position, and before the place where it must stop.
    position: u64,
    end: u64,
    /// The element of the writable half that a walk along the readable one came upon.
    beyond: Option<DriverRange>,
    ended: bool,
    fault: Option<ChainError>,
}

impl<'m, W: Walk<'m>> Cursor<'m, W> {
    /// Returns the beginning of the half of `chain` that is for `access`: for reading, or for writing.
    #[inline]
    pub(crate) fn new(chain: &impl Chain<'m, Walk = W>, access: Access) -> Self {
        Self {
            walk: chain.walk(),
            id: chain.id(),
            access,
            rest: DriverRange::EMPTY,
            piece: DeviceRange::empty(),
            position: 0,
            end: u64::MAX,
            beyond: None,
            ended: false,
            fault: None,
        }
    }

    /// Returns the beginning of the writable half of the same chain, wherever in the readable one this is.
    pub(crate) fn into_writable(self) -> Self {
        Self {
            access: Access::Write,
            rest: self.beyond.unwrap_or(DriverRange::EMPTY),
            piece: DeviceRange::empty(),
            position: 0,
            end: u64::MAX,
            beyond: None,
            // The readable half may have been cut, or lie in memory that is not there: the chain goes on. A walk that found it
            // malformed does not.
            ended: false,
            fault: self.fault.filter(|_| self.walk.clone().next().is_none()),
            ..self
        }
    }

    pub(crate) fn id(&self) -> u16 {
        self.id
    }

    pub(crate) fn mem(&self) -> &'m W::Mem {
        self.walk.mem()
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Returns a copy that goes on until the end of its half, wherever this one was to stop.
    pub(crate) fn uncut(&self) -> Self {
        Self { end: u64::MAX, ..self.clone() }
    }

    /// Returns the error that the position stopped at, if it did.
    pub(crate) fn fault(&self) -> Option<ChainError> {
        self.fault
    }

    /// Takes the next piece, of at most `max` bytes, or `None` at the end.
    #[inline]
    pub(crate) fn take(&mut self, max: usize) -> Result<Option<(DriverRange, DeviceRange<'m>)>, ChainError> {
        let limit = usize::try_from(self.end - self.position).unwrap_or(usize::MAX).min(max);
        // Nothing is looked at beyond the end: it may be malformed there.
        if limit == 0 || (self.piece.is_empty() && !self.fill()?) {
            return Ok(None);
        }
        let piece = self.piece.prefix(limit);
        let len = piece.len() as u64;
        let range = self.rest.prefix(len);
        self.rest = self.rest.after(len);
        self.piece = self.piece.after(piece.len());
        self.position += len;
        Ok(Some((range, piece)))
    }

    /// Goes on to the next element if the current one is used up, and returns whether there is one.
    #[inline(always)]
    fn seek(&mut self) -> Result<bool, ChainError> {
        while !self.ended && self.rest.is_empty() {
            match self.walk.next().transpose().map_err(|error| self.fail(error))? {
                Some(element) if element.access == self.access => self.rest = element.range,
                // The readable half was not read to its end.
                Some(element) if element.access == Access::Read => {}
                Some(element) => {
                    self.beyond = Some(element.range);
                    self.ended = true;
                }
                None => self.ended = true,
            }
        }
        Ok(!self.ended)
    }

    /// Translates more, and returns whether there is more. By itself, so that taking from a piece stays short where it is inlined.
    #[inline(never)]
    fn fill(&mut self) -> Result<bool, ChainError> {
        if !self.seek()? {
            return Ok(false);
        }
        let translated = self.walk.mem().translate(self.rest, self.access);
        let (addr, access) = (self.rest.start(), self.access);
        let piece = translated.and_then(|piece| match piece.access().allows(access) {
            _ if piece.is_empty() => Err(TranslateError::Unmapped { addr }),
            // Fragments go to where it is not checked any more.
            false => Err(TranslateError::Denied { addr, access }),
            true => Ok(piece),
        });
        let piece =
            piece.map_err(|error| self.fail(ChainError { id: self.id, kind: ChainErrorKind::Memory(error) }))?;
        self.piece = piece.prefix(usize::try_from(self.rest.len()).unwrap_or(usize::MAX));
        Ok(true)
    }

    /// Ends here for good: the memory has translated `range` for an access that it then refuses.
    #[cold]
    pub(crate) fn refused(&mut self, range: DriverRange) -> ChainError {
        let denied = TranslateError::Denied { addr: range.start(), access: self.access };
        self.fail(ChainError { id: self.id, kind: ChainErrorKind::Memory(denied) })
    }

    /// Ends here for good.
    #[cold]
    fn fail(&mut self, error: ChainError) -> ChainError {
        self.rest = DriverRange::EMPTY;
        self.piece = DeviceRange::empty();
        self.ended = true;
        self.fault = Some(error);
        error
    }

    /// Passes over at most `max` bytes, calls `passed` for each range of them, and returns how many they were. Nothing is
    /// translated: they need not be there.
    pub(crate) fn skip(&mut self, max: u64, mut passed: impl FnMut(DriverRange)) -> Result<u64, ChainError> {
        let start = self.position;
        let end = start.saturating_add(max).min(self.end);
        while self.position < end && self.seek()? {
            let range = self.rest.prefix(end - self.position);
            self.rest = self.rest.after(range.len());
            self.piece = self.piece.after(usize::try_from(range.len()).unwrap_or(usize::MAX));
            self.position += range.len();
            passed(range);
        }
        Ok(self.position - start)
    }

    /// Looks ahead: how much there is until the end.
    pub(crate) fn remaining(&self) -> Result<Remaining, ChainError> {
        let limit = self.end - self.position;
        if limit == 0 {
            return Ok(Remaining::default());
        }
        let mut remaining = Remaining { bytes: self.rest.len(), descriptors: u32::from(!self.rest.is_empty()) };
        let mut walk = self.walk.clone();
        while !self.ended && remaining.bytes < limit {
            match walk.next().transpose()? {
                Some(element) if element.access == self.access => {
                    remaining.bytes += element.range.len();
                    remaining.descriptors += 1;
                }
                Some(element) if element.access == Access::Read => {}
                _ => break,
            }
        }
        remaining.bytes = remaining.bytes.min(limit);
        Ok(remaining)
    }

    /// Ends `len` bytes further on, and returns the rest. If there is none, nothing has changed.
    pub(crate) fn split_at(&mut self, len: u64) -> Result<Self, TransferError> {
        let mut tail = self.clone();
        let available = tail.skip(len, |_| ())?;
        if available < len {
            return Err(TransferError::Short { wanted: len, available });
        }
        self.end = self.position + len;
        Ok(tail)
    }

    /// Ends `len` bytes before the end, and returns the rest. If there are not as many, nothing has changed.
    pub(crate) fn split_last(&mut self, len: u64) -> Result<Self, TransferError> {
        let available = self.remaining()?.bytes;
        let before = available.checked_sub(len).ok_or(TransferError::Short { wanted: len, available })?;
        self.split_at(before)
    }

    /// Looks ahead at the next pieces, of `max` bytes together at most, as many as `storage` holds.
    pub(crate) fn fragments<F: From<DeviceRange<'m>>>(&self, max: u64, storage: &mut [F]) -> Result<usize, ChainError> {
        let mut ahead = self.clone();
        let mut count = 0;
        for slot in storage {
            let left = usize::try_from(max - (ahead.position - self.position)).unwrap_or(usize::MAX);
            let Some((range, piece)) = ahead.take(left)? else { break };
            if self.access == Access::Read {
                self.mem().before_read(range);
            }
            *slot = F::from(piece);
            count += 1;
        }
        Ok(count)
    }
}

/// Whatever the walk is: who is handed a chain back wants to unwrap the error beside it.
impl<W> fmt::Debug for Cursor<'_, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor")
            .field("id", &self.id)
            .field("access", &self.access)
            .field("position", &self.position)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}
