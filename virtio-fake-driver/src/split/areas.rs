//! The places of the areas and fields of a split virtqueue.

use virtio_mem_traits::{DriverAddr, DriverRange};

use super::descriptor::Descriptor;
use crate::pool::AddressPool;
use crate::pool::field;

/// The three areas of a split virtqueue, and the range of each field.
///
/// A [`TestMem`](crate::TestMem) reports accesses with these ranges.
///
/// VIRTIO 1.4 §2.7 "Split Virtqueues" (LAY-1, LAY-2).
///
/// ```
/// use virtio_fake_driver::{MemEvent, SplitFixture};
///
/// let mut fixture = SplitFixture::new(8);
/// fixture.mem.start_log();
/// assert!(fixture.queue.next_chain()?.is_none());
/// let areas = *fixture.driver.areas();
/// assert_eq!(fixture.mem.take_log(), [MemEvent::Read(areas.available_index())]);
/// # Ok::<_, virtio_queue_core::FatalError>(())
/// ```
///
/// # Panics
///
/// Every method panics if an area ends beyond 2^64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitAreas {
    /// The queue size: a power of two.
    pub size: u16,
    /// The address of the Descriptor Area, the descriptor table.
    pub descriptor_area: DriverAddr,
    /// The address of the Driver Area, the available ring.
    pub driver_area: DriverAddr,
    /// The address of the Device Area, the used ring.
    pub device_area: DriverAddr,
}

impl SplitAreas {
    /// Takes the areas of a queue of `size` out of `pool`, or returns `None` if they do not fit.
    ///
    /// Each area has exactly the alignment that it needs (DRV-CFG-1). A device that relies on more alignment fails.
    #[must_use]
    pub fn alloc(size: u16, pool: &mut AddressPool) -> Option<Self> {
        let entries = u64::from(size);
        let mut area = |len, align| pool.alloc(align + len, 2 * align)?.start().checked_add(align);
        Some(Self {
            size,
            descriptor_area: area(16 * entries, 16)?,
            driver_area: area(6 + 2 * entries, 2)?,
            device_area: area(6 + 8 * entries, 4)?,
        })
    }

    /// Returns the whole Descriptor Area.
    #[must_use]
    pub fn descriptors(&self) -> DriverRange {
        field(self.descriptor_area, 0, Descriptor::SIZE * u64::from(self.size))
    }

    /// Returns the whole Driver Area.
    #[must_use]
    pub fn available_ring(&self) -> DriverRange {
        field(self.driver_area, 0, 6 + 2 * u64::from(self.size))
    }

    /// Returns the whole Device Area.
    #[must_use]
    pub fn used_ring(&self) -> DriverRange {
        field(self.device_area, 0, 6 + 8 * u64::from(self.size))
    }
}

/// Ranges of the fields. The index of an entry, an element or a descriptor is not bounds-checked, so a test can name
/// the bytes behind the end.
impl SplitAreas {
    /// Returns the descriptor at `index`.
    #[must_use]
    pub fn descriptor(&self, index: u16) -> DriverRange {
        field(self.descriptor_area, Descriptor::SIZE * u64::from(index), Descriptor::SIZE)
    }

    /// Returns the flags of the available ring.
    #[must_use]
    pub fn available_flags(&self) -> DriverRange {
        field(self.driver_area, 0, 2)
    }

    /// Returns the index of the available ring.
    #[must_use]
    pub fn available_index(&self) -> DriverRange {
        field(self.driver_area, 2, 2)
    }

    /// Returns the entry in a slot of the available ring.
    #[must_use]
    pub fn available_entry(&self, slot: u16) -> DriverRange {
        field(self.driver_area, 4 + 2 * u64::from(slot), 2)
    }

    /// Returns the field after the available ring. It names the used element that the driver waits for.
    #[must_use]
    pub fn used_event(&self) -> DriverRange {
        self.available_entry(self.size)
    }

    /// Returns the flags of the used ring.
    #[must_use]
    pub fn used_flags(&self) -> DriverRange {
        field(self.device_area, 0, 2)
    }

    /// Returns the index of the used ring.
    #[must_use]
    pub fn used_index(&self) -> DriverRange {
        field(self.device_area, 2, 2)
    }

    /// Returns the element in a slot of the used ring.
    #[must_use]
    pub fn used_element(&self, slot: u16) -> DriverRange {
        field(self.device_area, 4 + 8 * u64::from(slot), 8)
    }

    /// Returns the field after the used ring. It names the available entry that the device waits for.
    #[must_use]
    pub fn avail_event(&self) -> DriverRange {
        field(self.device_area, 4 + 8 * u64::from(self.size), 2)
    }
}
