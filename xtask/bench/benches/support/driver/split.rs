//! The driver of a split ring.

use std::rc::Rc;

use virtio_mem_traits::DriverAddr;
use virtio_ring::split::{Descriptor, DescriptorFlags, DescriptorIndex, Layout, QueueSize};
use zerocopy::{Immutable, IntoBytes};

use super::{Driver, take_each};
use crate::support::ring::{Buffer, Chain, Ring, Used};

/// Descriptors and available entries are written once: they are the same in every lap. What is left for a pass is to
/// advance the available index, and to say of which chain the driver wants to be notified.
pub(crate) struct SplitDriver {
    ring: Rc<Ring>,
    layout: Layout,
    /// Where both indices are when nothing is in flight.
    index: u16,
}

/// What no device writes into a used element: the driver puts it there once it has read it.
const NOTHING: [u32; 2] = [u32::MAX; 2];

impl SplitDriver {
    pub(crate) fn new(ring: Rc<Ring>) -> Self {
        let layout = Layout::new(QueueSize::new(ring.shape.size()).expect("shapes have valid sizes"));
        for chain in &ring.chains {
            describe(&ring, chain);
        }
        for (slot, chain) in (0..ring.shape.size()).zip(ring.chains.iter().cycle()) {
            write(&ring, ring.driver_area, Layout::available_entry(slot), &chain.id);
            write(&ring, ring.device_area, Layout::used_element(slot), &NOTHING);
        }
        Self { ring, layout, index: 0 }
    }
}

/// Writes the descriptors of a chain.
fn describe(ring: &Ring, chain: &Chain) {
    let (table, first) = match chain.table {
        Some(table) => {
            let len = u32::from(ring.shape.descriptors) * 16;
            let descriptor = Descriptor::new(table, len, DescriptorFlags::INDIRECT, DescriptorIndex(0));
            write(ring, ring.descriptor_area, usize::from(chain.id) * Descriptor::SIZE, &descriptor);
            (table, 0)
        }
        None => (ring.descriptor_area, chain.id),
    };
    let last = first + ring.shape.descriptors - 1;
    for (slot, buffer) in (first..).zip(&chain.buffers) {
        let Buffer { addr, len, writable, .. } = *buffer;
        let next = if slot == last { DescriptorFlags::default() } else { DescriptorFlags::NEXT };
        let write_flag = if writable { DescriptorFlags::WRITE } else { DescriptorFlags::default() };
        let descriptor = Descriptor::new(addr, len, next.union(write_flag), DescriptorIndex(slot.wrapping_add(1)));
        write(ring, table, usize::from(slot) * Descriptor::SIZE, &descriptor);
    }
}

fn write(ring: &Ring, area: DriverAddr, offset: usize, object: &(impl IntoBytes + Immutable)) {
    let range = ring.memory.range(area, offset + size_of_val(object));
    range.write(offset, object).expect("it is writable");
}

impl Driver for SplitDriver {
    fn refill(&mut self) {
        let area = self.ring.memory.range(self.ring.driver_area, self.layout.driver_area_len());
        area.store_relaxed(self.layout.used_event(), self.index).expect("it is aligned");
        let next = self.index.wrapping_add(self.ring.shape.chains());
        area.store_release(Layout::INDEX, next).expect("it is aligned");
    }

    fn take_back(&mut self, used: &mut Vec<Used>) -> Result<(), String> {
        let Self { ring, layout, index } = self;
        let area = ring.memory.range(ring.device_area, layout.device_area_len());
        let found: u16 = area.load_acquire(Layout::INDEX).expect("it is aligned");
        let expected = index.wrapping_add(ring.shape.chains());
        if found != expected {
            return Err(format!("the used index is {found} instead of {expected}"));
        }
        take_each(ring, used, |done| {
            let offset = Layout::used_element(index.wrapping_add(done) % ring.shape.size());
            let [id, len]: [u32; 2] = area.load_relaxed(offset).expect("it is aligned");
            area.store_relaxed(offset, NOTHING).expect("it is aligned");
            Ok(Used { id: u16::try_from(id).map_err(|_| format!("chain {id:#x} was used"))?, len })
        })?;
        *index = found;
        Ok(())
    }
}
