//! A position in one half of a chain.

use virtio_mem_traits::{Access, DeviceRange, DriverMem, DriverRange, TranslateError};
use virtio_queue_core::{ChainElements, ChainError, ChainErrorKind, Element};

use crate::error::{Remaining, TransferError};

/// A piece of memory, in driver terms and in device terms.
pub(crate) type Piece<'c> = (DriverRange, DeviceRange<'c>);

/// A position in the readable or in the writable half of a chain. It is plain data: each step takes the chain as an
/// argument.
///
/// The cursor translates an element piece by piece when the position reaches it, because an element can cross from one
/// memory region into another. The cursor hides how the driver has cut its message (FRAME-1). It passes over the
/// elements of the other half: a readable element is never written (SPLIT-DESC-1, PACK-DESC-1), and a writable one is
/// never read (SPLIT-DESC-2, PACK-DESC-2, INV-7).
#[derive(Clone, Debug)]
pub(crate) struct Cursor<P> {
    place: P,
    /// The access of the elements, which selects the half.
    access: Access,
    /// The rest of the current element.
    rest: DriverRange,
    /// The number of bytes of this half before the position, and before the end of this part.
    position: u64,
    end: u64,
    course: Course,
}

/// Whether a cursor continues.
#[derive(Clone, Copy, Debug)]
enum Course {
    Going,
    /// The half ends here. For a readable half, this is the first element of the writable half, if any.
    Ended(DriverRange),
    /// The chain is malformed here, and the error was reported.
    Failed(ChainError),
    /// The chain is malformed here, and the next step reports the error.
    Failing(ChainError),
}

impl<P: Clone> Cursor<P> {
    /// Returns the beginning of the half of `chain` that `access` selects.
    #[inline]
    pub(crate) fn new(chain: &impl ChainElements<Place = P>, access: Access) -> Self {
        Self {
            place: chain.start(),
            access,
            rest: DriverRange::EMPTY,
            position: 0,
            end: u64::MAX,
            course: Course::Going,
        }
    }

    /// Returns the beginning of the writable half of the same chain, if there still is one. The cursor can be anywhere
    /// in the readable half.
    #[inline]
    pub(crate) fn into_writable(self, chain: Option<&impl ChainElements<Place = P>>) -> Self {
        // If the memory of a readable element does not exist, the chain continues. If a walk found the chain malformed,
        // it does not.
        let next = |chain: &_| ChainElements::next_element(chain, &mut self.place.clone());
        let fault = self.fault().filter(|_| chain.and_then(next).is_none());
        Self {
            access: Access::Write,
            rest: if let Course::Ended(beyond) = self.course { beyond } else { DriverRange::EMPTY },
            position: 0,
            end: u64::MAX,
            course: fault.map_or(Course::Going, Course::Failed),
            ..self
        }
    }

    #[inline]
    pub(crate) fn access(&self) -> Access {
        self.access
    }

    #[inline]
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Returns the position at which this part ends, if it was split.
    pub(crate) fn end(&self) -> Option<u64> {
        (self.end != u64::MAX).then_some(self.end)
    }

    /// Returns the number of bytes up to the end of this part, as far as it is known without a look ahead.
    #[inline]
    pub(crate) fn left(&self) -> u64 {
        self.end - self.position
    }

    /// Returns the error that stopped the cursor, if any.
    #[inline]
    pub(crate) fn fault(&self) -> Option<ChainError> {
        match self.course {
            Course::Failed(error) | Course::Failing(error) => Some(error),
            Course::Going | Course::Ended(_) => None,
        }
    }

    /// Returns the next piece, of at most `max` bytes, or `None` at the end. The cursor does not move until a
    /// [`pass`](Self::pass).
    #[inline(always)]
    pub(crate) fn peek<'c>(
        &mut self,
        chain: &'c impl ChainElements<Place = P>,
        max: usize,
    ) -> Result<Option<Piece<'c>>, ChainError> {
        let limit = self.left().min(max as u64);
        // The cursor reads no element beyond the end, because the chain can be malformed there.
        if limit == 0 {
            return Ok(None);
        }
        if self.rest.is_empty() && !self.seek(chain) {
            return self.ended().map(|()| None);
        }
        let range = self.rest.prefix(limit);
        match chain.mem().translate(range, self.access) {
            Ok(piece) if !piece.is_empty() && piece.access().allows(self.access) => {
                // `limit` is at most `max`.
                let piece = piece.prefix(usize::try_from(range.len()).unwrap_or(max));
                Ok(Some((range.prefix(piece.len() as u64), piece)))
            }
            answer => Err(self.inaccessible(chain.id(), range, answer)),
        }
    }

    /// Returns the next `len` bytes, if the memory translates them at once in one piece. The cursor does not move until
    /// a [`pass`](Self::pass). After `None`, call [`peek`](Self::peek) for the reason.
    ///
    /// A copy checks the length and the access of the piece, which are the memory's word.
    #[inline(always)]
    pub(crate) fn peek_whole<'c>(&mut self, chain: &'c impl ChainElements<Place = P>, len: usize) -> Option<Piece<'c>> {
        let bytes = u32::try_from(len).ok()?;
        // The cursor reads no element if no bytes are needed, or beyond the end.
        if bytes == 0 || u64::from(bytes) > self.left() {
            return None;
        }
        if self.rest.is_empty() && !self.step(chain) {
            return None;
        }
        let range = self.rest.slice(0, bytes.into())?;
        Some((range, chain.mem().translate_at_once(range.start(), bytes, self.access)?))
    }

    /// Takes the next piece, of at most `max` bytes, or `None` at the end.
    #[inline(always)]
    pub(crate) fn take<'c>(
        &mut self,
        chain: &'c impl ChainElements<Place = P>,
        max: usize,
    ) -> Result<Option<Piece<'c>>, ChainError> {
        let piece = self.peek(chain, max)?;
        if let Some((range, _)) = piece {
            self.pass(range.len());
        }
        Ok(piece)
    }

    /// Skips the next `len` bytes, which must be in the current element.
    #[inline]
    pub(crate) fn pass(&mut self, len: u64) {
        self.rest = self.rest.after(len);
        self.position += len;
    }

    /// Moves to the next non-empty element, and returns whether there is one. The current element must be used up. If
    /// there is no next element, the half has [ended](Self::ended).
    #[inline(never)]
    fn seek(&mut self, chain: &impl ChainElements<Place = P>) -> bool {
        while matches!(self.course, Course::Going) {
            if self.step(chain) {
                return true;
            }
        }
        false
    }

    /// Takes one step, and returns whether it reached the next non-empty element. The current element must be used up.
    #[inline(always)]
    fn step(&mut self, chain: &impl ChainElements<Place = P>) -> bool {
        if !matches!(self.course, Course::Going) {
            return false;
        }
        // The chain gets a copy of the place, because its argument needs an address.
        let mut place = self.place.clone();
        let next = chain.next_element(&mut place);
        self.place = place;
        match next {
            Some(Ok(element)) if element.access == self.access => {
                self.rest = element.range;
                true
            }
            other => {
                *self = self.clone().step_over(other);
                false
            }
        }
    }

    /// Records the end of the half, or the error, instead of a next element.
    #[inline(never)]
    fn step_over(mut self, next: Option<Result<Element, ChainError>>) -> Self {
        match next {
            // A readable element is left. The writable half begins after it.
            Some(Ok(element)) if element.access == Access::Read => {}
            Some(Ok(element)) => self.course = Course::Ended(element.range),
            Some(Err(error)) => self.course = Course::Failing(error),
            None => self.course = Course::Ended(DriverRange::EMPTY),
        }
        self
    }

    /// Returns the error to report at the end of the half, once.
    #[cold]
    fn ended(&mut self) -> Result<(), ChainError> {
        match self.course {
            Course::Failing(error) => Err(self.fail(error)),
            _ => Ok(()),
        }
    }

    /// Ends the cursor with an error: the memory returned nothing that can be accessed.
    #[cold]
    fn inaccessible(
        &mut self,
        id: u16,
        range: DriverRange,
        answer: Result<DeviceRange<'_>, TranslateError>,
    ) -> ChainError {
        let (addr, access) = (range.start(), self.access);
        let error = match answer {
            Err(error) => error,
            Ok(piece) if piece.is_empty() => TranslateError::Unmapped { addr },
            // Later users of a piece do not check the access again.
            Ok(_) => TranslateError::Denied { addr, access },
        };
        self.fail(ChainError { id, kind: ChainErrorKind::Memory(error) })
    }

    /// Ends the cursor with an error: the memory translated `range` of chain `id`, and then refused the access.
    #[cold]
    pub(crate) fn refused(&mut self, id: u16, range: DriverRange) -> ChainError {
        let denied = TranslateError::Denied { addr: range.start(), access: self.access };
        self.fail(ChainError { id, kind: ChainErrorKind::Memory(denied) })
    }

    /// Ends the cursor with an error.
    #[cold]
    fn fail(&mut self, error: ChainError) -> ChainError {
        self.rest = DriverRange::EMPTY;
        self.course = Course::Failed(error);
        error
    }

    /// Defers an error to the next step, because this step has bytes to report.
    #[cold]
    pub(crate) fn put_off_fault(&mut self) {
        if let Course::Failed(error) = self.course {
            self.course = Course::Failing(error);
        }
    }

    /// Returns the number of bytes moved from `start` before `error`, and defers the error to the next step. If no
    /// bytes were moved, returns the error.
    #[cfg(feature = "std")]
    #[cold]
    pub(crate) fn moved_before(&mut self, start: u64, error: ChainError) -> Result<usize, ChainError> {
        match usize::try_from(self.position - start) {
            Ok(0) | Err(_) => Err(error),
            Ok(count) => {
                self.put_off_fault();
                Ok(count)
            }
        }
    }

    /// Skips at most `max` bytes, and returns their number. Translates nothing: the memory does not need to exist.
    pub(crate) fn skip(&mut self, chain: &impl ChainElements<Place = P>, max: u64) -> Result<u64, ChainError> {
        let start = self.position;
        let end = start.saturating_add(max).min(self.end);
        while self.position < end {
            if self.rest.is_empty() && !self.seek(chain) {
                self.ended()?;
                break;
            }
            self.pass(self.rest.len().min(end - self.position));
        }
        Ok(self.position - start)
    }

    /// Skips `len` bytes that were already moved, at most [`left`](Self::left). If the driver has changed the chain so
    /// that it no longer has these bytes, the next step finds the end or reports the error.
    pub(crate) fn pass_moved(&mut self, chain: &impl ChainElements<Place = P>, len: u64) {
        let end = self.position + len;
        if self.skip(chain, len).is_err() {
            self.put_off_fault();
        }
        self.position = end;
    }

    /// Looks ahead, and returns the amount of data up to the end of this part.
    pub(crate) fn remaining(&self, chain: &impl ChainElements<Place = P>) -> Result<Remaining, ChainError> {
        self.remaining_within(chain, self.left())
    }

    /// Looks ahead, and returns the amount of data up to the end of the half. Ignores the end of this part.
    pub(crate) fn remaining_in_half(&self, chain: &impl ChainElements<Place = P>) -> Result<Remaining, ChainError> {
        self.remaining_within(chain, u64::MAX)
    }

    fn remaining_within(&self, chain: &impl ChainElements<Place = P>, limit: u64) -> Result<Remaining, ChainError> {
        if limit == 0 {
            return Ok(Remaining::default());
        }
        let mut remaining = Remaining { bytes: self.rest.len(), descriptors: u32::from(!self.rest.is_empty()) };
        let mut place = self.place.clone();
        while matches!(self.course, Course::Going) && remaining.bytes < limit {
            match chain.next_element(&mut place).transpose()? {
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

    /// Ends this part after the next `len` bytes, and returns the rest. On an error, nothing has changed.
    pub(crate) fn split_at(&mut self, chain: &impl ChainElements<Place = P>, len: u64) -> Result<Self, TransferError> {
        let mut tail = self.clone();
        let available = tail.skip(chain, len)?;
        if available < len {
            return Err(TransferError::Short { wanted: len, available });
        }
        self.end = self.position + len;
        Ok(tail)
    }

    /// Ends this part `len` bytes before its end, and returns the rest. On an error, nothing has changed.
    pub(crate) fn split_last(
        &mut self,
        chain: &impl ChainElements<Place = P>,
        len: u64,
    ) -> Result<Self, TransferError> {
        let available = self.remaining(chain)?.bytes;
        let before = available.checked_sub(len).ok_or(TransferError::Short { wanted: len, available })?;
        self.split_at(chain, before)
    }
}
