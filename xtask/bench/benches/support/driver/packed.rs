//! The driver of a packed ring.

use std::rc::Rc;

use virtio_ring::packed::{
    BufferId, Descriptor, DescriptorFlags, EventSuppression, NotificationMode, QueueSize, RingPosition, UsedDescriptor,
};
use zerocopy::{IntoBytes, transmute};

use super::{Driver, take_each};
use crate::support::ring::{Buffer, Chain, Ring, Used};

/// The device writes over descriptors, so that they have to be written anew in each lap, as in life. They are copied
/// from a picture of the ring full of descriptors.
pub(crate) struct PackedDriver {
    ring: Rc<Ring>,
    /// The descriptors as they are when the wrap counter is set, each as two words.
    picture: Vec<[u64; 2]>,
    /// Where both sides are when nothing is in flight.
    position: RingPosition,
}

/// What differs in the second word of a descriptor from lap to lap.
const WRAP: u64 = ((DescriptorFlags::AVAIL.0 | DescriptorFlags::USED.0) as u64) << 48;

impl PackedDriver {
    pub(crate) fn new(ring: Rc<Ring>) -> Self {
        for chain in &ring.chains {
            if let Some(table) = chain.table {
                let entry = |buffer: &Buffer| describe(*buffer, 0, DescriptorFlags::default());
                let entries: Vec<_> = chain.buffers.iter().map(entry).collect();
                let bytes = entries.as_bytes();
                ring.memory.range(table, bytes.len()).write_bytes(0, bytes).expect("it is writable");
            }
        }
        let descriptors = ring.chains.iter().cycle().flat_map(|chain| list(&ring, chain));
        let picture = descriptors.take(ring.shape.size().into()).map(|descriptor| transmute!(descriptor)).collect();
        Self { picture, position: RingPosition::START, ring }
    }
}

/// Returns the descriptors by which a chain is made available.
fn list(ring: &Ring, chain: &Chain) -> Vec<Descriptor> {
    if let Some(table) = chain.table {
        let flags = DescriptorFlags::AVAIL.union(DescriptorFlags::INDIRECT);
        return vec![Descriptor::new(table, u32::from(ring.shape.descriptors) * 16, BufferId(chain.id), flags)];
    }
    let (last, others) = chain.buffers.split_last().expect("no chain is empty");
    let next = DescriptorFlags::AVAIL.union(DescriptorFlags::NEXT);
    let others = others.iter().map(|buffer| describe(*buffer, chain.id, next));
    others.chain([describe(*last, chain.id, DescriptorFlags::AVAIL)]).collect()
}

fn describe(Buffer { addr, len, writable, .. }: Buffer, id: u16, flags: DescriptorFlags) -> Descriptor {
    let write = if writable { DescriptorFlags::WRITE } else { DescriptorFlags::default() };
    Descriptor::new(addr, len, BufferId(id), flags.union(write))
}

impl Driver for PackedDriver {
    fn refill(&mut self) {
        let Self { ring, picture, position } = self;
        let event = if ring.shape.event_idx {
            NotificationMode::Descriptor(position.off_wrap())
        } else {
            NotificationMode::Enable
        };
        let driver_area = ring.memory.range(ring.driver_area, size_of::<EventSuppression>());
        driver_area.store_relaxed(0, EventSuppression::new(event).bits()).expect("it is aligned");

        // A pass never goes beyond the end of the ring: sizes are powers of two.
        let first = usize::from(position.slot());
        let slots = usize::from(ring.shape.chains() * ring.shape.slots());
        let area = ring.memory.range(ring.descriptor_area, Descriptor::SIZE * picture.len());
        let lap = if position.wrap() { 0 } else { WRAP };
        for (slot, [addr, rest]) in picture.iter().enumerate().skip(first).take(slots) {
            area.store_relaxed(slot * Descriptor::SIZE, [*addr, rest ^ lap]).expect("it is aligned");
        }
    }

    fn take_back(&mut self, used: &mut Vec<Used>) -> Result<(), String> {
        let Self { ring, picture, position } = self;
        let area = ring.memory.range(ring.descriptor_area, Descriptor::SIZE * picture.len());
        take_each(ring, used, |done| {
            let here = position.advanced(done * ring.shape.slots(), size(ring));
            let words: [u64; 2] =
                area.load_relaxed(usize::from(here.slot()) * Descriptor::SIZE).expect("it is aligned");
            let descriptor: Descriptor = transmute!(words);
            let (id, len, flags) = (descriptor.id(), descriptor.len(), descriptor.flags());
            let expected = UsedDescriptor::new(id, len, here.wrap()).flags;
            if flags != expected {
                return Err(format!("the used flags of chain {id} are {:#x} instead of {:#x}", flags.0, expected.0));
            }
            Ok(Used { id: id.0, len })
        })?;
        *position = position.advanced(ring.shape.chains() * ring.shape.slots(), size(ring));
        Ok(())
    }
}

fn size(ring: &Ring) -> QueueSize {
    QueueSize::new(ring.shape.size()).expect("shapes have valid sizes")
}
