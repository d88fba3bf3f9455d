//! A chain that is being read.

use core::fmt;
use core::ops::{Deref, DerefMut};

use virtio_mem_traits::Access;
use virtio_queue_core::{Chain, Refused};

use crate::cursor::Cursor;
use crate::{IncompleteError, Reader, WritableChain};

/// A chain, beginning with its readable bytes.
///
/// It is a [`Reader`] that owns the chain. It turns into a [`WritableChain`], in the order that chains have: first what
/// the driver says, then what the device answers. Dropping it returns the chain with nothing written.
pub struct ReadableChain<'m, C: Chain<'m>> {
    chain: C,
    reader: Reader<'m, C::Walk>,
}

impl<'m, C: Chain<'m>> ReadableChain<'m, C> {
    /// Returns the beginning of `chain`.
    #[inline]
    #[must_use]
    pub fn new(chain: C) -> Self {
        let reader = Reader::new(Cursor::new(&chain, Access::Read));
        Self { chain, reader }
    }

    /// Returns what the driver knows the chain by: the index of its head, or its Buffer ID.
    #[inline]
    #[must_use]
    pub fn id(&self) -> u16 {
        self.chain.id()
    }

    /// Returns both halves, to read one while the other is written. What is wrong with the readable one does not concern the
    /// writable one, as long as the chain can be walked that far.
    #[inline]
    #[must_use]
    pub fn split(self) -> (Reader<'m, C::Walk>, WritableChain<'m, C>) {
        (self.reader.clone(), WritableChain::from_incomplete_readable(self))
    }

    /// Returns the chain, which can be walked or returned from where it was when this was made of it.
    #[inline]
    #[must_use]
    pub fn into_chain(self) -> C {
        self.chain
    }

    /// Returns the chain to the driver, if all of it was read and there is nothing to write.
    ///
    /// # Errors
    ///
    /// If there are readable or writable bytes left, or the chain is malformed. It is in the error then.
    pub fn return_complete(self) -> Result<(), Refused<Self, IncompleteError>> {
        if let Err(error) = self.check_read().and_then(|()| self.check_nothing_to_write()) {
            return Err(Refused { chain: self, error });
        }
        let Self { chain, reader } = self;
        match chain.return_unchecked(0) {
            Ok(()) => Ok(()),
            Err(refused) => {
                let error = IncompleteError::Return(refused.error);
                Err(Refused { chain: Self { chain: refused.chain, reader }, error })
            }
        }
    }

    pub(crate) fn check_read(&self) -> Result<(), IncompleteError> {
        if let Some(error) = self.reader.cursor().fault() {
            return Err(error.into());
        }
        match self.reader.remaining()? {
            left if left.bytes > 0 => Err(IncompleteError::Unread(left)),
            _ => Ok(()),
        }
    }

    fn check_nothing_to_write(&self) -> Result<(), IncompleteError> {
        match self.reader.cursor().clone().into_writable().remaining()? {
            left if left.bytes > 0 => Err(IncompleteError::Unwritten(left)),
            _ => Ok(()),
        }
    }

    pub(crate) fn into_parts(self) -> (C, Cursor<'m, C::Walk>) {
        (self.chain, self.reader.into_cursor())
    }
}

/// The conversions under the names that say what they are for.
impl<'m, C: Chain<'m>> ReadableChain<'m, C> {
    /// Goes on with the writable half, if all of the readable one was read. What was [split off](Reader::split_at) is not
    /// looked at.
    ///
    /// # Errors
    ///
    /// As for [`WritableChain::from_readable`].
    pub fn into_writable(self) -> Result<WritableChain<'m, C>, Refused<Self, IncompleteError>> {
        WritableChain::from_readable(self)
    }
}

impl<'m, C: Chain<'m>> Deref for ReadableChain<'m, C> {
    type Target = Reader<'m, C::Walk>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.reader
    }
}

impl<'m, C: Chain<'m>> DerefMut for ReadableChain<'m, C> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.reader
    }
}

impl<'m, C: Chain<'m>> fmt::Debug for ReadableChain<'m, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadableChain").field(&self.reader).finish()
    }
}
