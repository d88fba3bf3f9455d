//! The places of the areas and fields of a packed virtqueue.

use virtio_mem_traits::{DriverAddr, DriverRange};

use super::descriptor::Descriptor;
use crate::pool::AddressPool;
use crate::pool::field;

/// The three areas of a packed virtqueue, and the range of each field.
///
/// A [`TestMem`](crate::TestMem) reports accesses with these ranges.
///
/// VIRTIO 1.4 §2.8.10.1 "Structure Size and Alignment" (LAY-7).
///
/// ```
/// use virtio_fake_driver::{MemEvent, PackedFixture};
///
/// let mut fixture = PackedFixture::new(8);
/// fixture.mem.start_log();
/// assert!(fixture.queue.next_chain()?.is_none());
/// let areas = *fixture.driver.areas();
/// assert_eq!(fixture.mem.take_log(), [MemEvent::Read(areas.id_and_flags(0))]);
/// # Ok::<_, virtio_queue_core::FatalError>(())
/// ```
///
/// # Panics
///
/// Every method panics if an area ends beyond 2^64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedAreas {
    /// The queue size, from 1 to 32768.
    pub size: u16,
    /// The address of the Descriptor Area, the descriptor ring.
    pub descriptor_area: DriverAddr,
    /// The address of the Driver Area, the driver's event suppression structure.
    pub driver_area: DriverAddr,
    /// The address of the Device Area, the device's event suppression structure.
    pub device_area: DriverAddr,
}

impl PackedAreas {
    /// Takes the areas of a queue of `size` out of `pool`, or returns `None` if they do not fit.
    ///
    /// Each area has exactly the alignment that it needs (DRV-CFG-1). A device that relies on more alignment fails.
    #[must_use]
    pub fn alloc(size: u16, pool: &mut AddressPool) -> Option<Self> {
        let mut area = |len, align| pool.alloc(align + len, 2 * align)?.start().checked_add(align);
        Some(Self {
            size,
            descriptor_area: area(Descriptor::SIZE * u64::from(size), 16)?,
            driver_area: area(4, 4)?,
            device_area: area(4, 4)?,
        })
    }

    /// Returns the whole Descriptor Area.
    #[must_use]
    pub fn descriptors(&self) -> DriverRange {
        field(self.descriptor_area, 0, Descriptor::SIZE * u64::from(self.size))
    }

    /// Returns the whole Driver Area. It names the used descriptors that the driver waits for.
    #[must_use]
    pub fn driver_events(&self) -> DriverRange {
        field(self.driver_area, 0, 4)
    }

    /// Returns the whole Device Area. It names the available descriptors that the device waits for.
    #[must_use]
    pub fn device_events(&self) -> DriverRange {
        field(self.device_area, 0, 4)
    }
}

/// Ranges of the fields. Slots are not bounds-checked, so a test can name the bytes behind the end.
impl PackedAreas {
    /// Returns the descriptor in a slot.
    #[must_use]
    pub fn descriptor(&self, slot: u16) -> DriverRange {
        field(self.descriptor_area, Descriptor::SIZE * u64::from(slot), Descriptor::SIZE)
    }

    /// Returns the length of the descriptor in a slot.
    #[must_use]
    pub fn len(&self, slot: u16) -> DriverRange {
        field(self.descriptor_area, Descriptor::SIZE * u64::from(slot) + 8, 4)
    }

    /// Returns the Buffer ID of the descriptor in a slot.
    #[must_use]
    pub fn id(&self, slot: u16) -> DriverRange {
        field(self.descriptor_area, Descriptor::SIZE * u64::from(slot) + 12, 2)
    }

    /// Returns the flags of the descriptor in a slot.
    #[must_use]
    pub fn flags(&self, slot: u16) -> DriverRange {
        field(self.descriptor_area, Descriptor::SIZE * u64::from(slot) + 14, 2)
    }

    /// Returns the Buffer ID and the flags of the descriptor in a slot, as one word.
    #[must_use]
    pub fn id_and_flags(&self, slot: u16) -> DriverRange {
        field(self.descriptor_area, Descriptor::SIZE * u64::from(slot) + 12, 4)
    }

    /// Returns the used descriptor in a slot: length, Buffer ID and flags, as one word.
    #[must_use]
    pub fn used(&self, slot: u16) -> DriverRange {
        field(self.descriptor_area, Descriptor::SIZE * u64::from(slot) + 8, 8)
    }
}
