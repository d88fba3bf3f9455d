//! What the themes of split queues share: chains written by hand.

use std::rc::Rc;

use virtio_fake_driver::split::{Descriptor, RawSplit, UsedElement};
use virtio_fake_driver::{SplitFixture, SplitFixtureOptions, TestMem};
use virtio_mem_traits::DriverAddr;
use virtio_queue_core::QueueLimits;

use super::{ByHand, Tables, start};

/// A queue and its driver, and memory that tells tales.
pub(crate) type Fixture = SplitFixture<Rc<TestMem>>;

pub(crate) fn options(size: u16, features: u64) -> SplitFixtureOptions {
    super::options(size, features)
}

pub(crate) fn fixture(size: u16, features: u64) -> Fixture {
    start(size, features)
}

/// A fixture whose chains may have other than as many elements as the queue has descriptors.
pub(crate) fn fixture_with_chain_len(size: u16, features: u64, chain_len: Option<u32>) -> Fixture {
    let limits = QueueLimits { chain_len, ..QueueLimits::default() };
    SplitFixtureOptions { limits, ..options(size, features) }.build().unwrap()
}

impl ByHand for Descriptor {
    fn new(addr: u64, len: u32, flags: u16) -> Self {
        Self { addr: DriverAddr(addr), len, flags, next: u16::MAX }
    }
}

impl Tables for RawSplit {
    type Descriptor = Descriptor;

    fn write(&self, addr: DriverAddr, descriptor: Descriptor) {
        self.set_descriptor_at(addr, descriptor);
    }
}

pub(crate) fn linked(descriptor: Descriptor, next: u16) -> Descriptor {
    Descriptor { flags: descriptor.flags | Descriptor::NEXT, next, ..descriptor }
}

/// Links descriptors that lie one after the other from index `first` on.
pub(crate) fn in_line(first: u16, descriptors: &[Descriptor]) -> Vec<Descriptor> {
    let end = first + descriptors.len() as u16;
    let link = |(index, descriptor): (u16, &Descriptor)| match index + 1 {
        next if next == end => *descriptor,
        next => linked(*descriptor, next),
    };
    (first..).zip(descriptors).map(link).collect()
}

/// Writes descriptors into the queue's own table, from index 0 on.
pub(crate) fn write_direct(raw: &RawSplit, descriptors: &[Descriptor]) {
    for (index, descriptor) in (0..).zip(descriptors) {
        raw.set_descriptor(index, *descriptor);
    }
}

/// Makes the chains at `heads` available by one store of the index, whatever they are and whether or not there is room.
pub(crate) fn offer(raw: &RawSplit, heads: &[u16]) {
    let mut index = raw.available_index();
    for head in heads {
        raw.set_available_entry(index % raw.areas().size, *head);
        index = index.wrapping_add(1);
    }
    raw.set_available_index(index);
}

pub(crate) const fn used(id: u32, len: u32) -> UsedElement {
    UsedElement { id, len }
}

/// The used elements at the indices from `first` on, up to the used index.
pub(crate) fn used_since(raw: &RawSplit, first: u16) -> Vec<UsedElement> {
    let count = raw.used_index().wrapping_sub(first);
    (0..count).map(|n| raw.used_element(first.wrapping_add(n) % raw.areas().size)).collect()
}
