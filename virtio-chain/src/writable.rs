//! A chain that is being written.

use core::fmt;
use core::ops::{Deref, DerefMut};

use virtio_mem_traits::Access;
use virtio_queue_core::{Chain, Refused, ReturnError};

use crate::cursor::Cursor;
use crate::{IncompleteError, ReadableChain, Writer};

/// A chain, at its writable bytes.
///
/// It is a [`Writer`] that owns the chain. However it ends, the driver is told of as many bytes as were written from the
/// beginning on without a hole (SPLIT-USED-4), unless the device says fewer: dropping it returns the chain like that.
pub struct WritableChain<'m, C: Chain<'m>> {
    /// `None` once it was returned.
    chain: Option<C>,
    writer: Writer<'m, C::Walk>,
}

impl<'m, C: Chain<'m>> WritableChain<'m, C> {
    /// Returns the writable half of `chain`, whatever its readable one holds.
    #[inline]
    #[must_use]
    pub fn new(chain: C) -> Self {
        let writer = Writer::new(Cursor::new(&chain, Access::Write));
        Self { chain: Some(chain), writer }
    }

    /// Goes on with the writable half, if all of the readable one was read. What was
    /// [split off](crate::Reader::split_at) is not looked at.
    ///
    /// # Errors
    ///
    /// If there are readable bytes left, or the chain is malformed. The chain is in the error then.
    pub fn from_readable(
        readable: ReadableChain<'m, C>,
    ) -> Result<Self, Refused<ReadableChain<'m, C>, IncompleteError>> {
        match readable.check_read() {
            Ok(()) => Ok(Self::from_incomplete_readable(readable)),
            Err(error) => Err(Refused { chain: readable, error }),
        }
    }

    /// Goes on with the writable half, whether or not all of the readable one was read.
    #[inline]
    #[must_use]
    pub fn from_incomplete_readable(readable: ReadableChain<'m, C>) -> Self {
        let (chain, cursor) = readable.into_parts();
        Self { chain: Some(chain), writer: Writer::new(cursor.into_writable()) }
    }

    /// Returns what the driver knows the chain by: the index of its head, or its Buffer ID.
    #[inline]
    #[must_use]
    pub fn id(&self) -> u16 {
        self.writer.cursor().id()
    }

    /// Returns the chain to the driver, if all of it was written.
    ///
    /// # Errors
    ///
    /// If there are bytes that were not written, or the chain is malformed: it is in the error then. What was written into
    /// a half that was split off and not [joined](Writer::join) does not count.
    pub fn return_complete(self) -> Result<(), Refused<Self, IncompleteError>> {
        if let Err(error) = self.check_written() {
            return Err(Refused { chain: self, error });
        }
        let written = self.reportable();
        self.give_back(written, IncompleteError::Return)
    }

    /// Returns the chain to the driver with what was written from the beginning on without a hole, as its drop does.
    ///
    /// # Errors
    ///
    /// If the queue is broken.
    #[inline]
    pub fn return_used(self) -> Result<(), Refused<Self, ReturnError>> {
        let written = self.reportable();
        self.give_back(written, |error| error)
    }

    /// Returns the chain to the driver, which is told that `len` bytes were written.
    ///
    /// Some devices report all that was written, although there are holes in it; others less than was written.
    ///
    /// # Errors
    ///
    /// If more than that was not written, or the queue is broken. The chain is in the error then.
    pub fn return_written(self, len: u32) -> Result<(), Refused<Self, ReturnError>> {
        if u64::from(len) > self.writer.written() {
            let error = ReturnError::TooLong { written: len, writable: self.writer.written() };
            return Err(Refused { chain: self, error });
        }
        self.give_back(len.into(), |error| error)
    }

    /// Returns how many bytes the driver may be told of. A writer can be swapped for another one, of another part or chain.
    #[inline]
    fn reportable(&self) -> u64 {
        self.chain.as_ref().map_or(0, |chain| self.writer.reportable(chain.id()))
    }

    fn check_written(&self) -> Result<(), IncompleteError> {
        if let Some(error) = self.writer.cursor().fault() {
            return Err(error.into());
        }
        let cursor = self.writer.cursor();
        let mut left = cursor.uncut().remaining()?;
        left.bytes += cursor.position() - self.writer.written();
        if left.bytes > 0 { Err(IncompleteError::Unwritten(left)) } else { Ok(()) }
    }

    #[inline]
    fn give_back<E>(mut self, written: u64, wrap: impl FnOnce(ReturnError) -> E) -> Result<(), Refused<Self, E>> {
        match self.chain.take().map(|chain| chain.return_unchecked(used_len(written))) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(refused)) => {
                self.chain = Some(refused.chain);
                Err(Refused { chain: self, error: wrap(refused.error) })
            }
        }
    }
}

/// Returns the used length for so many bytes. All 2^32 of the largest chain cannot be said; fewer may be (SPLIT-USED-9).
#[inline]
fn used_len(written: u64) -> u32 {
    u32::try_from(written).unwrap_or(u32::MAX)
}

/// Returns the chain with what was written from the beginning on without a hole.
impl<'m, C: Chain<'m>> Drop for WritableChain<'m, C> {
    #[inline]
    fn drop(&mut self) {
        let written = self.reportable();
        if let Some(chain) = self.chain.take() {
            // A queue that is broken has nowhere to return it to, and has said so or will.
            let _ = chain.return_unchecked(used_len(written));
        }
    }
}

impl<'m, C: Chain<'m>> Deref for WritableChain<'m, C> {
    type Target = Writer<'m, C::Walk>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.writer
    }
}

impl<'m, C: Chain<'m>> DerefMut for WritableChain<'m, C> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.writer
    }
}

impl<'m, C: Chain<'m>> fmt::Debug for WritableChain<'m, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WritableChain").field(&self.writer).finish()
    }
}
