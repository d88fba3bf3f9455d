//! A driver that can do what these tests need: chains of one writable descriptor in a small split ring.

use core::sync::atomic::{AtomicU16, Ordering, fence};

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, StableMem};
use virtio_queue_core::{DriverNotify, QueueConfig, SplitQueue};
use virtio_ring::RingFeatures;

/// The queue size.
pub(crate) const SIZE: u16 = 8;
/// The address of the first buffer.
pub(crate) const BUFFERS: u64 = 0x20_0000;
/// The size of a buffer.
pub(crate) const BUFFER: u32 = 64;

const DESCRIPTORS: u64 = 0x10_0000;
const AVAILABLE: u64 = 0x10_0100;
const USED: u64 = 0x10_0200;

/// Memory for the rings.
pub(crate) fn rings() -> HeapMem {
    HeapMem::new(DriverAddr(DESCRIPTORS), 0x1000).unwrap()
}

/// What the driver tells the transport.
pub(crate) fn config() -> QueueConfig {
    let features = RingFeatures::from_negotiated(1 << 32).unwrap();
    QueueConfig::new(SIZE, features, DriverAddr(DESCRIPTORS), DriverAddr(AVAILABLE), DriverAddr(USED))
}

/// The device's side.
pub(crate) fn queue<M: StableMem, N: DriverNotify>(mem: M, notify: N) -> SplitQueue<M, N> {
    SplitQueue::new(&config(), mem, notify).unwrap()
}

pub(crate) struct Driver<M> {
    mem: M,
    next_available: AtomicU16,
    next_used: AtomicU16,
}

impl<M: DriverMem> Driver<M> {
    pub(crate) fn new(mem: M) -> Self {
        Self { mem, next_available: AtomicU16::new(0), next_used: AtomicU16::new(0) }
    }

    /// Makes the chain `id` available, and returns whether the device wants a kick.
    pub(crate) fn offer(&self, id: u16) -> bool {
        let addr = BUFFERS + u64::from(id) * u64::from(BUFFER);
        let descriptor = self.at(DESCRIPTORS + 16 * u64::from(id), 16);
        descriptor.write(0, &addr.to_le_bytes()).unwrap();
        descriptor.write(8, &BUFFER.to_le_bytes()).unwrap();
        descriptor.write(12, &2_u32.to_le_bytes()).unwrap(); // WRITE, and no next
        self.offer_head(id)
    }

    /// Makes a chain available that begins at any descriptor, and returns whether the device wants a kick.
    pub(crate) fn offer_head(&self, head: u16) -> bool {
        let index = self.next_available.fetch_add(1, Ordering::Relaxed);
        self.at(AVAILABLE + 4 + 2 * u64::from(index % SIZE), 2).write(0, &head.to_le_bytes()).unwrap();
        self.at(AVAILABLE + 2, 2).store_release(0, index.wrapping_add(1).to_le()).unwrap();
        fence(Ordering::SeqCst);
        self.wants_kicks()
    }

    pub(crate) fn wants_kicks(&self) -> bool {
        self.at(USED, 2).load_relaxed::<u16>(0).unwrap().to_le() & 1 == 0
    }

    /// Returns what was used since the last time: ids and lengths.
    pub(crate) fn used(&self) -> Vec<(u16, u32)> {
        let index = self.at(USED + 2, 2).load_acquire::<u16>(0).unwrap().to_le();
        let mut used = Vec::new();
        while self.next_used.load(Ordering::Relaxed) != index {
            let slot = self.next_used.fetch_add(1, Ordering::Relaxed) % SIZE;
            let [id, len] = self.at(USED + 4 + 8 * u64::from(slot), 8).load_relaxed::<[u32; 2]>(0).unwrap();
            used.push((u16::try_from(id.to_le()).unwrap(), len.to_le()));
        }
        used
    }

    fn at(&self, addr: u64, len: u64) -> DeviceRange<'_> {
        let range = DriverRange::new(DriverAddr(addr), len).unwrap();
        self.mem.translate_all(range, Access::ReadWrite).unwrap()
    }
}
