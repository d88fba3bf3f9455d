//! The fields of a split virtqueue, without any rules.

use alloc::sync::Arc;

use virtio_mem_traits::{DriverAddr, DriverMem, DriverRange, HeapMem};

use super::areas::SplitAreas;
use super::descriptor::Descriptor;
use crate::view::DriverView;

/// A split virtqueue without any rules.
///
/// A test can write any value into each field, and can read each field as a driver reads it.
///
/// An honest driver uses a `RawSplit`. [`SplitDriver::raw`](super::SplitDriver::raw) returns it, so that a test can
/// spoil the fields that the driver wrote. It is a handle without a state. Slots and indices are not bounds-checked.
///
/// ```
/// use std::sync::Arc;
/// use virtio_fake_driver::split::{Descriptor, SplitDriver, SplitOptions};
/// use virtio_mem_traits::{DriverAddr, HeapMem};
///
/// let mem = Arc::new(HeapMem::new(DriverAddr(0x1000), 0x1000)?);
/// let raw = SplitDriver::new(mem, 4, SplitOptions::default()).raw().clone();
///
/// // A chain that is a loop (DRV-DESC-2).
/// raw.set_descriptor(2, Descriptor { flags: Descriptor::NEXT, next: 2, ..Descriptor::default() });
/// raw.set_available_entry(0, 2);
/// raw.set_available_index(1);
/// # Ok::<_, virtio_mem_traits::HeapMemError>(())
/// ```
///
/// # Panics
///
/// Every method panics if the field is not in the driver's memory. Methods for a field of a ring also panic if the
/// field is misaligned.
#[derive(Clone, Debug)]
pub struct RawSplit<M = Arc<HeapMem>> {
    view: DriverView<M>,
    areas: SplitAreas,
}

/// An element of a used ring, as the device wrote it.
///
/// ```
/// use virtio_fake_driver::split::UsedElement;
/// use virtio_fake_driver::{DriverChain, SplitFixture};
///
/// let mut fixture = SplitFixture::new(8);
/// let id = fixture.driver.add(&DriverChain::new().readable(b"1"))?;
/// drop(fixture.queue.next_chain()?); // A chain that is dropped is used.
/// assert_eq!(fixture.driver.raw().used_element(0), UsedElement { id: id.into(), len: 0 });
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedElement {
    /// The head of the chain.
    pub id: u32,
    /// The number of bytes that were written.
    pub len: u32,
}

impl<M> RawSplit<M> {
    /// Returns the queue at `areas`, without accessing it.
    #[must_use]
    pub const fn new(view: DriverView<M>, areas: SplitAreas) -> Self {
        Self { view, areas }
    }

    /// Returns the driver's view of the memory, to read and write bytes at any address.
    #[must_use]
    pub const fn view(&self) -> &DriverView<M> {
        &self.view
    }

    /// Returns the places of the queue's areas and fields.
    #[must_use]
    pub const fn areas(&self) -> &SplitAreas {
        &self.areas
    }
}

/// Descriptors.
impl<M: DriverMem> RawSplit<M> {
    /// Reads the descriptor at `index` of the queue's table.
    #[must_use]
    pub fn descriptor(&self, index: u16) -> Descriptor {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.view.peek(self.areas.descriptor(index).start(), 16));
        Descriptor::from_bytes(bytes)
    }

    /// Writes the descriptor at `index` of the queue's table.
    pub fn set_descriptor(&self, index: u16, descriptor: Descriptor) {
        self.set_descriptor_at(self.areas.descriptor(index).start(), descriptor);
    }

    /// Writes a descriptor to `addr`, in an indirect table or at any other address.
    pub fn set_descriptor_at(&self, addr: DriverAddr, descriptor: Descriptor) {
        self.view.poke(addr, &descriptor.to_bytes());
    }
}

/// The available ring, which the driver writes.
impl<M: DriverMem> RawSplit<M> {
    /// Reads the flags of the available ring.
    #[must_use]
    pub fn available_flags(&self) -> u16 {
        self.get(self.areas.available_flags())
    }

    /// Writes the flags of the available ring. The value 1 is NO_INTERRUPT.
    pub fn set_available_flags(&self, flags: u16) {
        self.set(self.areas.available_flags(), flags);
    }

    /// Reads the index of the available ring.
    #[must_use]
    pub fn available_index(&self) -> u16 {
        self.get(self.areas.available_index())
    }

    /// Writes the index of the available ring, after all earlier writes.
    ///
    /// VIRTIO 1.4 §2.7.13.3.1 "Driver Requirements: Updating idx" (DRV-BAR-1).
    ///
    /// The store is a release. It pairs with the device's load of the index, which must be an acquire (BAR-1).
    pub fn set_available_index(&self, index: u16) {
        self.view.store_release(self.areas.available_index().start(), index.to_le());
    }

    /// Reads the entry in a slot of the available ring.
    #[must_use]
    pub fn available_entry(&self, slot: u16) -> u16 {
        self.get(self.areas.available_entry(slot))
    }

    /// Writes the entry in a slot of the available ring: the head of a chain.
    pub fn set_available_entry(&self, slot: u16, head: u16) {
        self.set(self.areas.available_entry(slot), head);
    }

    /// Reads the index of the used element that the driver waits for.
    #[must_use]
    pub fn used_event(&self) -> u16 {
        self.get(self.areas.used_event())
    }

    /// Writes the index of the used element that the driver waits for.
    pub fn set_used_event(&self, index: u16) {
        self.set(self.areas.used_event(), index);
    }
}

/// The used ring, which the device writes.
impl<M: DriverMem> RawSplit<M> {
    /// Reads the flags of the used ring. The value 1 is NO_NOTIFY.
    #[must_use]
    pub fn used_flags(&self) -> u16 {
        self.get(self.areas.used_flags())
    }

    /// Reads the index of the used ring, before all later reads.
    ///
    /// The load is an acquire. It pairs with the device's store of the index, which must be a release (BAR-4).
    #[must_use]
    pub fn used_index(&self) -> u16 {
        u16::from_le(self.view.load_acquire(self.areas.used_index().start()))
    }

    /// Reads the element in a slot of the used ring.
    #[must_use]
    pub fn used_element(&self, slot: u16) -> UsedElement {
        let word = |offset| u32::from_le(self.view.load(DriverAddr(self.areas.used_element(slot).start().0 + offset)));
        UsedElement { id: word(0), len: word(4) }
    }

    /// Reads the index of the available entry that the device waits for.
    #[must_use]
    pub fn avail_event(&self) -> u16 {
        self.get(self.areas.avail_event())
    }
}

/// Single fields.
impl<M: DriverMem> RawSplit<M> {
    fn get(&self, field: DriverRange) -> u16 {
        u16::from_le(self.view.load(field.start()))
    }

    fn set(&self, field: DriverRange, value: u16) {
        self.view.store(field.start(), value.to_le());
    }
}
