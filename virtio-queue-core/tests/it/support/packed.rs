//! What the themes of packed queues share: a driver that writes descriptors by hand and counts positions without end,
//! and a queue at any of them.

use std::rc::Rc;

use virtio_fake_driver::packed::{Descriptor, EventSuppression, RawPacked, UsedDescriptor};
use virtio_fake_driver::{MemEvent, PackedFixture, PackedFixtureOptions, TestMem};
use virtio_mem_traits::{DriverAddr, DriverRange};
use virtio_queue_core::QueueLimits;

use super::{ByHand, INDIRECT, Tables};

/// Both bits that tell the lap.
pub(crate) const BOTH: u16 = Descriptor::AVAIL | Descriptor::USED;

/// A queue and its driver, and memory that tells tales.
pub(crate) type Fixture = PackedFixture<Rc<TestMem>>;

pub(crate) fn options(size: u16, features: u64) -> PackedFixtureOptions {
    super::options(size, features)
}

/// Makes a queue, and the driver by hand that writes its descriptors.
pub(crate) fn start(size: u16, features: u64) -> (Fixture, Hand) {
    with_options(&options(size, features))
}

pub(crate) fn with_options(options: &PackedFixtureOptions) -> (Fixture, Hand) {
    let fixture = options.build().unwrap();
    let hand = Hand::new(fixture.driver.raw().clone());
    (fixture, hand)
}

/// A queue whose chains may have other than as many elements as there are slots.
pub(crate) fn with_chain_len(size: u16, chain_len: u32) -> (Fixture, Hand) {
    let limits = QueueLimits { chain_len: Some(chain_len), ..QueueLimits::default() };
    with_options(&PackedFixtureOptions { limits, ..options(size, INDIRECT) })
}

// Buffer IDs are absurd unless they are those of a [`Hand::offer`].
impl ByHand for Descriptor {
    fn new(addr: u64, len: u32, flags: u16) -> Self {
        Self { addr: DriverAddr(addr), len, flags, id: 0xbad }
    }
}

impl Tables for RawPacked {
    type Descriptor = Descriptor;

    fn write(&self, addr: DriverAddr, descriptor: Descriptor) {
        self.set_descriptor_at(addr, descriptor);
    }
}

pub(crate) fn with_flags(descriptor: Descriptor, flags: u16) -> Descriptor {
    Descriptor { flags: descriptor.flags | flags, ..descriptor }
}

/// The flags that make a descriptor available, in a lap with that wrap counter.
pub(crate) const fn available(wrap: bool) -> u16 {
    if wrap { Descriptor::AVAIL } else { Descriptor::USED }
}

/// The flags that make it a used one.
pub(crate) const fn used(wrap: bool) -> u16 {
    if wrap { BOTH } else { 0 }
}

/// The slot and the wrap counter of a position that counts on without end: in the first lap the counter is 1.
pub(crate) fn place(size: u16, position: u32) -> (u16, bool) {
    let size = u32::from(size);
    ((position % size) as u16, position / size % 2 == 0)
}

/// The same as in event suppression structures.
pub(crate) fn off_wrap(size: u16, position: u32) -> u16 {
    let (slot, wrap) = place(size, position);
    slot | u16::from(wrap) << 15
}

/// A driver that keeps to no rules but the order of the ring.
#[derive(Clone)]
pub(crate) struct Hand {
    pub(crate) raw: RawPacked,
    /// The position of the next list.
    pub(crate) next: u32,
}

impl Hand {
    pub(crate) fn new(raw: RawPacked) -> Self {
        Self { raw, next: 0 }
    }

    pub(crate) fn place(&self, position: u32) -> (u16, bool) {
        place(self.raw.areas().size, position)
    }

    /// Makes a list available whose Buffer ID is `id`, the first descriptor last, and returns its position.
    pub(crate) fn offer(&mut self, id: u16, list: &[Descriptor]) -> u32 {
        let first = self.next;
        let last = list.len() - 1;
        for (index, descriptor) in list.iter().enumerate().rev() {
            let (slot, wrap) = self.place(first + index as u32);
            let more = if index == last { 0 } else { Descriptor::NEXT };
            let mut descriptor = with_flags(*descriptor, available(wrap) | more);
            if index == last {
                descriptor.id = id;
            }
            self.raw.set_descriptor(slot, descriptor);
        }
        self.next += list.len() as u32;
        first
    }

    /// What the device has written at a position, if both flags say so.
    pub(crate) fn used_at(&self, position: u32) -> Option<UsedDescriptor> {
        let (slot, wrap) = self.place(position);
        let found = self.raw.used_descriptor(slot);
        (found.flags & BOTH == used(wrap)).then_some(found)
    }

    /// Checks what the device has written at a position.
    #[track_caller]
    pub(crate) fn check_used(&self, position: u32, id: u16, len: u32) {
        let (_, wrap) = self.place(position);
        let flags = used(wrap) | if len == 0 { 0 } else { Descriptor::WRITE };
        assert_eq!(self.used_at(position), Some(UsedDescriptor { len, id, flags }), "at {position}");
    }

    /// Says which used descriptors the driver waits for.
    pub(crate) fn wait_for(&self, flags: u16, off_wrap: u16) {
        self.raw.set_driver_events(EventSuppression { off_wrap, flags });
    }
}

/// The accesses to fields, as the memory sees them.
pub(crate) fn reads<const N: usize>(ranges: [DriverRange; N]) -> Vec<MemEvent> {
    ranges.map(MemEvent::Read).to_vec()
}
