//! The fields of a packed virtqueue, without any rules.

use alloc::sync::Arc;

use virtio_mem_traits::{DriverAddr, DriverMem, DriverRange, HeapMem};

use super::areas::PackedAreas;
use super::descriptor::{Descriptor, UsedDescriptor};
use super::event_suppression::EventSuppression;
use crate::view::DriverView;

/// A packed virtqueue without any rules.
///
/// A test can write any value into each field, and can read each field as a driver reads it.
///
/// An honest driver uses a `RawPacked`. [`PackedDriver::raw`](super::PackedDriver::raw) returns it, so that a test can
/// spoil the fields that the driver wrote. It is a handle without a state. Slots are not bounds-checked.
///
/// ```
/// use std::sync::Arc;
/// use virtio_fake_driver::packed::{Descriptor, PackedDriver, PackedOptions};
/// use virtio_mem_traits::{DriverAddr, HeapMem};
///
/// let mem = Arc::new(HeapMem::new(DriverAddr(0x1000), 0x1000)?);
/// let raw = PackedDriver::new(mem, 3, PackedOptions::default()).raw().clone();
///
/// // A list without an end (DRV-PSG-1).
/// for slot in 0..3 {
///     let flags = Descriptor::NEXT | Descriptor::AVAIL;
///     raw.set_descriptor(slot, Descriptor { flags, ..Descriptor::default() });
/// }
/// # Ok::<_, virtio_mem_traits::HeapMemError>(())
/// ```
///
/// # Panics
///
/// Every method panics if the field is not in the driver's memory. Methods for a field of a ring also panic if the
/// field is misaligned.
#[derive(Clone, Debug)]
pub struct RawPacked<M = Arc<HeapMem>> {
    view: DriverView<M>,
    areas: PackedAreas,
}

impl<M> RawPacked<M> {
    /// Returns the queue at `areas`, without accessing it.
    #[must_use]
    pub const fn new(view: DriverView<M>, areas: PackedAreas) -> Self {
        Self { view, areas }
    }

    /// Returns the driver's view of the memory, to read and write bytes at any address.
    #[must_use]
    pub const fn view(&self) -> &DriverView<M> {
        &self.view
    }

    /// Returns the places of the queue's areas and fields.
    #[must_use]
    pub const fn areas(&self) -> &PackedAreas {
        &self.areas
    }
}

/// Descriptors.
impl<M: DriverMem> RawPacked<M> {
    /// Reads the descriptor in a slot.
    #[must_use]
    pub fn descriptor(&self, slot: u16) -> Descriptor {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.view.peek(self.areas.descriptor(slot).start(), 16));
        Descriptor::from_bytes(bytes)
    }

    /// Writes the descriptor in a slot. The flags are written last, because the device reads them first.
    pub fn set_descriptor(&self, slot: u16, descriptor: Descriptor) {
        self.set_all_but_flags(slot, descriptor);
        self.set_flags(slot, descriptor.flags);
    }

    /// Writes the descriptor in a slot, except its flags.
    pub fn set_all_but_flags(&self, slot: u16, descriptor: Descriptor) {
        let [bytes @ .., _, _] = descriptor.to_bytes();
        self.view.poke(self.areas.descriptor(slot).start(), &bytes);
    }

    /// Writes the flags of the descriptor in a slot, after all earlier writes.
    ///
    /// VIRTIO 1.4 §2.8.21.1.1 "Driver Requirements: Updating flags" (DRV-PBAR-1).
    ///
    /// The store is a release. It pairs with the device's load of the flags, which must be an acquire (BAR-5).
    pub fn set_flags(&self, slot: u16, flags: u16) {
        self.view.store_release(self.areas.flags(slot).start(), flags.to_le());
    }

    /// Writes a descriptor to `addr`, in an indirect table or at any other address.
    pub fn set_descriptor_at(&self, addr: DriverAddr, descriptor: Descriptor) {
        self.view.poke(addr, &descriptor.to_bytes());
    }

    /// Reads a slot as a used descriptor, without checking whether it is one. The flags are read before the rest.
    ///
    /// The load of the flags is an acquire. It pairs with the device's store of the flags, which must be a release
    /// (BAR-8).
    #[must_use]
    pub fn used_descriptor(&self, slot: u16) -> UsedDescriptor {
        let flags = u16::from_le(self.view.load_acquire(self.areas.flags(slot).start()));
        let len = u32::from_le(self.view.load(self.areas.len(slot).start()));
        let id = u16::from_le(self.view.load(self.areas.id(slot).start()));
        UsedDescriptor { len, id, flags }
    }
}

/// Event suppression. Each structure is read and written as a whole (BAR-10).
impl<M: DriverMem> RawPacked<M> {
    /// Reads the used descriptors that the driver waits for.
    #[must_use]
    pub fn driver_events(&self) -> EventSuppression {
        self.events(self.areas.driver_events())
    }

    /// Writes the used descriptors that the driver waits for.
    pub fn set_driver_events(&self, events: EventSuppression) {
        self.view.store(self.areas.driver_events().start(), events.to_bits().to_le());
    }

    /// Reads the available descriptors that the device waits for.
    #[must_use]
    pub fn device_events(&self) -> EventSuppression {
        self.events(self.areas.device_events())
    }

    fn events(&self, field: DriverRange) -> EventSuppression {
        EventSuppression::from_bits(u32::from_le(self.view.load(field.start())))
    }
}
