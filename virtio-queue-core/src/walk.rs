//! What a chain is made of.

use virtio_mem_traits::{Access, DriverMem, DriverRange};

use crate::ChainError;

/// An element of a buffer: memory that the driver lets the device read, or write.
///
/// It is a claim. [`DriverMem::translate`] with the element's `access` makes it accessible, in one piece or in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// Where it is. Never empty: elements without bytes are left out (HOST-14).
    pub range: DriverRange,
    /// [`Access::Read`] for a device-readable element, [`Access::Write`] for a device-writable one.
    pub access: Access,
}

/// A walk along a chain.
///
/// It is a private position. A copy goes its own way and reads the descriptors again, which may have changed by then;
/// every walk is checked by itself, so that changes nothing but what the driver gets.
pub trait Walk<'m>: Clone {
    /// The memory that the chain lies in.
    type Mem: DriverMem + ?Sized + 'm;

    /// Returns the memory that the chain lies in.
    fn mem(&self) -> &'m Self::Mem;

    /// Returns the next element, or `None` at the end of the chain.
    ///
    /// First come the readable elements, then the writable ones. There are no more of them than the queue's limit allows,
    /// and no more than 2^32 bytes.
    ///
    /// # Errors
    ///
    /// If the chain is malformed from here on. It has ended then, and stays so.
    fn next_element(&mut self) -> Result<Option<Element>, ChainError>;

    /// Returns how many writable bytes the walk has come by.
    fn writable_bytes(&self) -> u64;
}

/// The rest of a chain as an iterator. After an error it is at its end.
#[derive(Debug)]
pub struct Elements<'w, W> {
    walk: &'w mut W,
}

impl<'w, W> Elements<'w, W> {
    /// Returns the rest of `walk`, which goes on after it where the iterator was left.
    #[inline]
    pub fn new(walk: &'w mut W) -> Self {
        Self { walk }
    }
}

impl<'m, W: Walk<'m>> Iterator for Elements<'_, W> {
    type Item = Result<Element, ChainError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.walk.next_element().transpose()
    }
}
