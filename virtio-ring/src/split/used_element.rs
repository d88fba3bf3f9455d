//! An element of a used ring.

use core::mem::offset_of;

use static_assertions::const_assert_eq;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::descriptor_table::DescriptorIndex;

/// A private copy of an element of a used ring. Its values are not checked.
///
/// ```
/// use virtio_ring::split::{DescriptorIndex, UsedElement};
///
/// let element = UsedElement::new(DescriptorIndex(3), 16);
/// assert_eq!((element.id(), element.len()), (3, 16));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct UsedElement {
    id: U32,
    len: U32,
}

const_assert_eq!(size_of::<UsedElement>(), 8);
const_assert_eq!(offset_of!(UsedElement, len), 4);

impl UsedElement {
    /// The size in bytes.
    pub const SIZE: usize = size_of::<Self>();

    /// Returns the element that returns the chain of `head`, with `len` bytes written.
    ///
    /// VIRTIO 1.4 §2.7.8 "The Virtqueue Used Ring" (SPLIT-USED-5).
    #[inline]
    #[must_use]
    pub const fn new(head: DescriptorIndex, len: u32) -> Self {
        Self { id: U32::new(head.0 as u32), len: U32::new(len) }
    }

    /// Returns the index of the first descriptor of the chain.
    ///
    /// It has all 32 bits of the field. A device sets only the lower 16 bits.
    #[inline]
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id.get()
    }

    /// Returns how many bytes were written into the chain.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len.get()
    }

    /// Returns whether no byte was written into the chain.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
