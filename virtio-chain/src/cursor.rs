//! A position in one half of a chain.

use virtio_mem_traits::{Access, DeviceRange, DriverMem, DriverRange, TranslateError};
use virtio_queue_core::{ChainElements, ChainError, ChainErrorKind, Element};

use crate::{Remaining, TransferError};

/// A piece of memory: where the driver has it, and where it is here.
pub(crate) type Piece<'c> = (DriverRange, DeviceRange<'c>);

/// A position in the readable or in the writable half of a chain, as plain data: each step is handed the chain.
///
/// An element is translated piece by piece as the position reaches it, since it may cross from one region of memory
/// into another. How the driver has cut its message is not visible from outside (FRAME-1).
#[derive(Clone, Debug)]
pub(crate) struct Cursor<P> {
    place: P,
    /// Which half: the access of its elements.
    access: Access,
    /// What is left of the current element.
    rest: DriverRange,
    /// How many bytes of this half lie before the position, and before the place where it must stop.
    position: u64,
    end: u64,
    course: Course,
}

/// Whether a cursor goes on.
#[derive(Clone, Copy, Debug)]
enum Course {
    Going,
    /// The half ends here. A walk along the readable one has come upon this element of the writable one, if any.
    Ended(DriverRange),
    /// The chain is malformed here, and that was reported.
    Failed(ChainError),
    /// The chain is malformed here, and the next step reports it.
    Failing(ChainError),
}

impl<P: Clone> Cursor<P> {
    /// Returns the beginning of the half of `chain` that is for `access`: for reading, or for writing.
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

    /// Returns the beginning of the writable half of the same chain, wherever in the readable one this is.
    #[inline]
    pub(crate) fn into_writable(self, chain: &impl ChainElements<Place = P>) -> Self {
        // The readable half may lie in memory that is not there: the chain goes on. A walk that found it malformed does
        // not.
        let fault = self.fault().filter(|_| chain.next_element(&mut self.place.clone()).is_none());
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

    /// Returns how many bytes lie before the place where it was made to stop, if it was.
    pub(crate) fn end(&self) -> Option<u64> {
        (self.end != u64::MAX).then_some(self.end)
    }

    /// Returns how many bytes there are until the place where it must stop, as far as that is known without a look
    /// ahead.
    #[inline]
    pub(crate) fn left(&self) -> u64 {
        self.end - self.position
    }

    /// Returns the error that the position stopped at, if it did.
    #[inline]
    pub(crate) fn fault(&self) -> Option<ChainError> {
        match self.course {
            Course::Failed(error) | Course::Failing(error) => Some(error),
            Course::Going | Course::Ended(_) => None,
        }
    }

    /// Returns the next piece, of at most `max` bytes, or `None` at the end. It stays the next one until it is
    /// [passed](Self::pass).
    #[inline(always)]
    pub(crate) fn peek<'c>(
        &mut self,
        chain: &'c impl ChainElements<Place = P>,
        max: usize,
    ) -> Result<Option<Piece<'c>>, ChainError> {
        let limit = self.left().min(max as u64);
        // Nothing is looked at beyond the end: it may be malformed there.
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

    /// Returns the next `len` bytes, if the memory has them at once in one piece. They stay the next ones until they are
    /// [passed](Self::pass). `None` says nothing: it is for [`peek`](Self::peek) to find out.
    #[inline(always)]
    pub(crate) fn peek_whole<'c>(&mut self, chain: &'c impl ChainElements<Place = P>, len: usize) -> Option<Piece<'c>> {
        let bytes = u32::try_from(len).ok()?;
        // Nothing is looked at for no bytes, or beyond the end.
        if bytes == 0 || u64::from(bytes) > self.left() {
            return None;
        }
        if self.rest.is_empty() && !self.step(chain) {
            return None;
        }
        let range = self.rest.slice(0, bytes.into())?;
        let piece = chain.mem().translate_at_once(range.start(), bytes, self.access)?;
        (piece.len() == len && piece.access().allows(self.access)).then_some((range, piece))
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

    /// Passes over the next `len` bytes, which lie in the current element.
    #[inline]
    pub(crate) fn pass(&mut self, len: u64) {
        self.rest = self.rest.after(len);
        self.position += len;
    }

    /// Goes on to the next element, since the current one is used up, and returns whether there is one. If not, the
    /// half has [ended](Self::ended).
    #[inline(never)]
    fn seek(&mut self, chain: &impl ChainElements<Place = P>) -> bool {
        while matches!(self.course, Course::Going) {
            if self.step(chain) {
                return true;
            }
        }
        false
    }

    /// Takes one step, since the current element is used up, and returns whether that leads to the next one.
    #[inline(always)]
    fn step(&mut self, chain: &impl ChainElements<Place = P>) -> bool {
        if !matches!(self.course, Course::Going) {
            return false;
        }
        // The place that is handed to the chain has an address.
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

    /// Takes note of what is no element of this half.
    #[inline(never)]
    fn step_over(mut self, next: Option<Result<Element, ChainError>>) -> Self {
        match next {
            // The readable half was not read to its end.
            Some(Ok(element)) if element.access == Access::Read => {}
            Some(Ok(element)) => self.course = Course::Ended(element.range),
            Some(Err(error)) => self.course = Course::Failing(error),
            None => self.course = Course::Ended(DriverRange::EMPTY),
        }
        self
    }

    /// Returns the error that is to be reported at the end of the half, once.
    #[cold]
    fn ended(&mut self) -> Result<(), ChainError> {
        match self.course {
            Course::Failing(error) => Err(self.fail(error)),
            _ => Ok(()),
        }
    }

    /// Ends here for good: the memory answered with nothing that can be accessed.
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
            // Pieces go to where it is not checked any more.
            Ok(_) => TranslateError::Denied { addr, access },
        };
        self.fail(ChainError { id, kind: ChainErrorKind::Memory(error) })
    }

    /// Ends here for good: the memory has translated `range` of chain `id` for an access that it then refuses.
    #[cold]
    pub(crate) fn refused(&mut self, id: u16, range: DriverRange) -> ChainError {
        let denied = TranslateError::Denied { addr: range.start(), access: self.access };
        self.fail(ChainError { id, kind: ChainErrorKind::Memory(denied) })
    }

    /// Ends here for good.
    #[cold]
    fn fail(&mut self, error: ChainError) -> ChainError {
        self.rest = DriverRange::EMPTY;
        self.course = Course::Failed(error);
        error
    }

    /// Lets the next step report the error that this one came upon, since it has bytes to report.
    #[cold]
    pub(crate) fn put_off_fault(&mut self) {
        if let Course::Failed(error) = self.course {
            self.course = Course::Failing(error);
        }
    }

    /// Returns how many bytes were moved from `start` on before `error`, which the next step reports, unless there are
    /// none.
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

    /// Passes over at most `max` bytes, and returns how many they were. Nothing is translated: they need not be there.
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

    /// Passes over `len` bytes that were moved already, of at most [`left`](Self::left). If the driver has changed the
    /// chain since so that it has no such bytes any more, the next step finds its end or reports what is wrong.
    pub(crate) fn pass_moved(&mut self, chain: &impl ChainElements<Place = P>, len: u64) {
        let end = self.position + len;
        if self.skip(chain, len).is_err() {
            self.put_off_fault();
        }
        self.position = end;
    }

    /// Looks ahead: how much there is until the place where it must stop.
    pub(crate) fn remaining(&self, chain: &impl ChainElements<Place = P>) -> Result<Remaining, ChainError> {
        self.remaining_within(chain, self.left())
    }

    /// Looks ahead: how much there is until the end of the half, wherever it must stop.
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

    /// Ends `len` bytes further on, and returns the rest. If there is none, nothing has changed.
    pub(crate) fn split_at(&mut self, chain: &impl ChainElements<Place = P>, len: u64) -> Result<Self, TransferError> {
        let mut tail = self.clone();
        let available = tail.skip(chain, len)?;
        if available < len {
            return Err(TransferError::Short { wanted: len, available });
        }
        self.end = self.position + len;
        Ok(tail)
    }

    /// Ends `len` bytes before the end, and returns the rest. If there are not as many, nothing has changed.
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
