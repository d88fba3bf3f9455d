//! The layout of the three areas of a packed virtqueue.

use super::descriptor::Descriptor;
use super::queue_size::QueueSize;

/// The sizes, offsets and alignments of the three areas of a packed virtqueue of a given size, all in bytes.
///
/// VIRTIO 1.4 §2.8.10.1 "Structure Size and Alignment" (LAY-7).
///
/// ```
/// use virtio_ring::packed::{Layout, QueueSize};
///
/// let layout = Layout::new(QueueSize::MAX);
/// assert_eq!(layout.descriptor_area_len(), 524_288);
/// assert_eq!(layout.driver_area_len(), 4);
/// assert_eq!(layout.device_area_len(), 4);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    size: QueueSize,
}

impl Layout {
    /// The alignment of the Descriptor Area.
    pub const DESCRIPTOR_AREA_ALIGN: usize = 16;
    /// The alignment of the Driver Area.
    pub const DRIVER_AREA_ALIGN: usize = 4;
    /// The alignment of the Device Area.
    pub const DEVICE_AREA_ALIGN: usize = 4;

    /// Returns the layout of a queue of `size` descriptors.
    #[inline]
    #[must_use]
    pub const fn new(size: QueueSize) -> Self {
        Self { size }
    }

    /// Returns the queue size.
    #[inline]
    #[must_use]
    pub const fn size(self) -> QueueSize {
        self.size
    }

    /// Returns the length of the Descriptor Area.
    #[inline]
    #[must_use]
    pub const fn descriptor_area_len(self) -> usize {
        Descriptor::SIZE * self.size.get() as usize
    }

    /// Returns the length of the Driver Area, which is the same for every queue size.
    #[inline]
    #[must_use]
    pub const fn driver_area_len(self) -> usize {
        4
    }

    /// Returns the length of the Device Area, which is the same for every queue size.
    #[inline]
    #[must_use]
    pub const fn device_area_len(self) -> usize {
        4
    }

    /// Returns the offset of the length of the descriptor in `slot`, in the Descriptor Area.
    #[inline]
    #[must_use]
    pub const fn descriptor_len(slot: u16) -> usize {
        Descriptor::SIZE * slot as usize + Descriptor::LEN
    }

    /// Returns the offset of the Buffer ID of the descriptor in `slot`, in the Descriptor Area.
    #[inline]
    #[must_use]
    pub const fn descriptor_id(slot: u16) -> usize {
        Descriptor::SIZE * slot as usize + Descriptor::ID
    }

    /// Returns the offset of the flags of the descriptor in `slot`, in the Descriptor Area.
    #[inline]
    #[must_use]
    pub const fn descriptor_flags(slot: u16) -> usize {
        Descriptor::SIZE * slot as usize + Descriptor::FLAGS
    }
}
