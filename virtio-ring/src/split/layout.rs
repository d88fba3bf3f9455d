//! The layout of the three areas of a split virtqueue.

use super::descriptor::Descriptor;
use super::queue_size::QueueSize;
use super::used_element::UsedElement;

/// The sizes, offsets and alignments of the three areas of a split virtqueue of a given size, all in bytes.
///
/// VIRTIO 1.4 §2.7 "Split Virtqueues" (LAY-1). Each ring has a field for events at its end. This field is part of the
/// area even if EVENT_IDX was not negotiated (LAY-2).
///
/// ```
/// use virtio_ring::split::{Layout, QueueSize};
///
/// let layout = Layout::new(QueueSize::MAX);
/// assert_eq!(layout.descriptor_area_len(), 524_288);
/// assert_eq!(layout.driver_area_len(), 65_542);
/// assert_eq!(layout.device_area_len(), 262_150);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    size: QueueSize,
}

impl Layout {
    /// The alignment of the Descriptor Area.
    pub const DESCRIPTOR_AREA_ALIGN: usize = 16;
    /// The alignment of the Driver Area.
    pub const DRIVER_AREA_ALIGN: usize = 2;
    /// The alignment of the Device Area.
    pub const DEVICE_AREA_ALIGN: usize = 4;

    /// The offset of the flags in the Driver Area and in the Device Area.
    pub const FLAGS: usize = 0;
    /// The offset of the index in the Driver Area and in the Device Area.
    pub const INDEX: usize = 2;
    /// The offset of the ring in the Driver Area and in the Device Area.
    const RING: usize = 4;

    const ENTRY: usize = size_of::<u16>();

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

    /// Returns the length of the Driver Area.
    #[inline]
    #[must_use]
    pub const fn driver_area_len(self) -> usize {
        self.used_event() + size_of::<u16>()
    }

    /// Returns the length of the Device Area.
    #[inline]
    #[must_use]
    pub const fn device_area_len(self) -> usize {
        self.avail_event() + size_of::<u16>()
    }

    /// Returns the offset of the available ring's entry for `slot` in the Driver Area.
    #[inline]
    #[must_use]
    pub const fn available_entry(slot: u16) -> usize {
        Self::RING + Self::ENTRY * slot as usize
    }

    /// Returns the offset of `used_event` in the Driver Area.
    #[inline]
    #[must_use]
    pub const fn used_event(self) -> usize {
        // PERF: the size would need one more operation than the last slot (`direct-1-burst-1`).
        Self::available_entry(self.size.last_slot()) + Self::ENTRY
    }

    /// Returns the offset of the used ring's element for `slot` in the Device Area.
    #[inline]
    #[must_use]
    pub const fn used_element(slot: u16) -> usize {
        Self::RING + UsedElement::SIZE * slot as usize
    }

    /// Returns the offset of `avail_event` in the Device Area.
    #[inline]
    #[must_use]
    pub const fn avail_event(self) -> usize {
        Self::used_element(self.size.get())
    }
}
