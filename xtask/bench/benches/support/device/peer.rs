//! The peer: virtio-queue of rust-vmm.

pub(crate) mod payloads;

use std::sync::Arc;

use anyhow::{Result, bail};
use virtio_queue::desc::split::Descriptor;
use virtio_queue::{Queue, QueueT};
use vm_memory::{GuestMemoryBackend, GuestMemoryMmap};

use super::{Contender, Device, MISSING};
use crate::support::memory::Memory;
use crate::support::ring::{Ring, counted};
use crate::support::shape::Format;

pub(crate) const VIRTIO_QUEUE: Contender =
    Contender::new("virtio-queue", Format::Split, |ring| Box::new(VirtioQueue::new(ring)));

/// A queue, and the memory that it is in.
struct Peer {
    queue: Queue,
    guest: Arc<GuestMemoryMmap>,
    /// What `guest` is the memory of.
    _memory: Arc<Memory>,
    signals: u64,
}

impl Peer {
    fn new(ring: &Ring) -> Self {
        let mut queue = Queue::new(ring.shape.size()).expect("sizes are powers of two");
        let halves = |addr: u64| (Some(low(addr)), Some(low(addr >> 32)));
        let (low, high) = halves(ring.descriptor_area.0);
        queue.set_desc_table_address(low, high);
        let (low, high) = halves(ring.driver_area.0);
        queue.set_avail_ring_address(low, high);
        let (low, high) = halves(ring.device_area.0);
        queue.set_used_ring_address(low, high);
        queue.set_event_idx(ring.shape.event_idx);
        queue.set_ready(true);
        // SAFETY: (1) both are kept together.
        let guest = unsafe { ring.memory.for_peer() };
        assert!(queue.is_valid(&guest), "the ring is in memory");
        Self { queue, guest: Arc::new(guest), _memory: Arc::clone(&ring.memory), signals: 0 }
    }

    /// Finds out whether the driver wants to be notified.
    #[inline]
    fn signal(&mut self) -> Result<()> {
        self.signals += u64::from(self.queue.needs_notification(&*self.guest)?);
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the other half is taken elsewhere")]
fn low(addr: u64) -> u32 {
    addr as u32
}

/// A device on the peer's queue.
///
/// Of the two ways that its documentation shows, chains are popped one by one. The other way is an iterator over all
/// that are available. It borrows the queue, so that heads have to be kept until they can be used, and took as long for
/// chains of one descriptor, and longer for chains of eight and without bursts.
struct VirtioQueue {
    peer: Peer,
    chains: usize,
    burst: usize,
}

impl VirtioQueue {
    fn new(ring: &Ring) -> Self {
        Self { peer: Peer::new(ring), chains: ring.chains.len(), burst: ring.shape.burst.into() }
    }
}

impl Device for VirtioQueue {
    fn serve(&mut self) -> Result<u64> {
        let mut sum = 0_u64;
        for _ in 0..self.chains / self.burst {
            for _ in 0..self.burst {
                let Peer { queue, guest, .. } = &mut self.peer;
                let Some(chain) = queue.pop_descriptor_chain(&**guest) else { bail!(MISSING) };
                let head = chain.head_index();
                let (added, written) = walk(guest, chain)?;
                sum = sum.wrapping_add(added);
                queue.add_used(&**guest, head, written)?;
            }
            self.peer.signal()?;
        }
        Ok(sum)
    }

    fn signals(&self) -> u64 {
        self.peer.signals
    }
}

/// Translates all descriptors of a chain, and returns their sum and the length of the last one.
#[inline(always)]
fn walk(guest: &GuestMemoryMmap, descriptors: impl Iterator<Item = Descriptor>) -> Result<(u64, u32)> {
    let (mut sum, mut last) = (0, 0);
    for descriptor in descriptors {
        let slice = guest.get_slice(descriptor.addr(), descriptor.len() as usize)?;
        last = u32::try_from(slice.len())?;
        sum = counted(sum, slice.ptr_guard().as_ptr().addr() as u64, last);
    }
    Ok((sum, last))
}
