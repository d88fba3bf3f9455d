//! Drivers of both formats, which access the memory by vm-memory alone. Every chain has two descriptors.

use virtio_mem_traits::DriverAddr;
use virtio_queue::desc::RawDescriptor;
use virtio_queue::desc::split::Descriptor;
use virtio_queue::mock::{AvailRing, DescriptorTable, UsedRing};
use virtio_queue_core::{QueueConfig, RingFeatures};
use vm_memory::{Bytes, GuestAddress, GuestMemory};

const SIZE: u16 = 8;
const DESCRIPTOR_AREA: u64 = 0x1_0000;
const DRIVER_AREA: u64 = 0x1_0100;
pub(crate) const DEVICE_AREA: u64 = 0x1_0200;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const AVAIL: u16 = 1 << 7;
const USED: u16 = 1 << 15;

/// A buffer, by address and length.
pub(crate) type Buffer = (u64, u32);

pub(crate) trait Driver {
    /// The features of the ring.
    const FEATURES: u64;

    /// Makes a chain available: what the device reads, and what it writes.
    fn offer(&mut self, readable: Buffer, writable: Buffer);

    /// Returns how much the device has written into the next chain that it has used, if it has used one.
    fn take_used(&mut self) -> Option<u32>;
}

/// What a device is told of the queue of a `D`.
pub(crate) fn config<D: Driver>(_: &D) -> QueueConfig {
    let features = RingFeatures::from_negotiated(D::FEATURES).unwrap();
    let [descriptors, driver, device] = [DESCRIPTOR_AREA, DRIVER_AREA, DEVICE_AREA].map(DriverAddr);
    QueueConfig::new(SIZE, features, descriptors, driver, device)
}

/// The driver that rust-vmm tests its own queues with.
pub(crate) struct SplitDriver<'m, M> {
    table: DescriptorTable<'m, M>,
    available: AvailRing<'m, M>,
    used: UsedRing<'m, M>,
    next: u16,
    seen: u16,
}

impl<'m, M: GuestMemory> SplitDriver<'m, M> {
    pub(crate) fn new(memory: &'m M) -> Self {
        Self {
            table: DescriptorTable::new(memory, GuestAddress(DESCRIPTOR_AREA), SIZE),
            available: AvailRing::new(memory, GuestAddress(DRIVER_AREA), SIZE),
            used: UsedRing::new(memory, GuestAddress(DEVICE_AREA), SIZE),
            next: 0,
            seen: 0,
        }
    }
}

impl<M: GuestMemory> Driver for SplitDriver<'_, M> {
    const FEATURES: u64 = 1 << 32;

    fn offer(&mut self, readable: Buffer, writable: Buffer) {
        let head = self.next * 2 % SIZE;
        let set = |index, (addr, len), flags, next| {
            let descriptor = RawDescriptor::from(Descriptor::new(addr, len, flags, next));
            self.table.store(index, descriptor).unwrap();
        };
        set(head, readable, NEXT, head + 1);
        set(head + 1, writable, WRITE, 0);
        self.available.ring().ref_at((self.next % SIZE).into()).unwrap().store(head);
        self.next += 1;
        self.available.idx().store(self.next);
    }

    fn take_used(&mut self) -> Option<u32> {
        if self.used.idx().load() == self.seen {
            return None;
        }
        let used = self.used.ring().ref_at((self.seen % SIZE).into()).unwrap().load();
        // In any order: a head is the first of two descriptors.
        assert!(used.id() < u32::from(SIZE) && used.id() % 2 == 0, "{}", used.id());
        self.seen += 1;
        Some(used.len())
    }
}

pub(crate) struct PackedDriver<'m, M> {
    memory: &'m M,
    /// Positions that go on without end.
    next: u64,
    seen: u64,
}

impl<'m, M: GuestMemory> PackedDriver<'m, M> {
    pub(crate) fn new(memory: &'m M) -> Self {
        Self { memory, next: 0, seen: 0 }
    }

    /// Where the descriptor at a position is, and the flags that make it available and used.
    fn place(position: u64) -> (u64, u16, u16) {
        let (lap, slot) = (position / u64::from(SIZE), position % u64::from(SIZE));
        let (available, used) = if lap % 2 == 0 { (AVAIL, AVAIL | USED) } else { (USED, 0) };
        (DESCRIPTOR_AREA + 16 * slot, available, used)
    }

    fn set(&self, position: u64, (addr, len): Buffer, flags: u16) {
        let (place, available, _) = Self::place(position);
        self.memory.write_obj(addr, GuestAddress(place)).unwrap();
        self.memory.write_obj(len, GuestAddress(place + 8)).unwrap();
        self.memory.write_obj(0x1d_u16, GuestAddress(place + 12)).unwrap();
        self.memory.write_obj(available | flags, GuestAddress(place + 14)).unwrap();
    }
}

impl<M: GuestMemory> Driver for PackedDriver<'_, M> {
    const FEATURES: u64 = 1 << 32 | 1 << 34;

    fn offer(&mut self, readable: Buffer, writable: Buffer) {
        self.set(self.next + 1, writable, WRITE);
        self.set(self.next, readable, NEXT);
        self.next += 2;
    }

    fn take_used(&mut self) -> Option<u32> {
        let (place, _, used) = Self::place(self.seen);
        let flags: u16 = self.memory.read_obj(GuestAddress(place + 14)).unwrap();
        if flags & (AVAIL | USED) != used || self.seen == self.next {
            return None;
        }
        assert_eq!(self.memory.read_obj::<u16>(GuestAddress(place + 12)).unwrap(), 0x1d);
        self.seen += 2;
        Some(self.memory.read_obj(GuestAddress(place + 8)).unwrap())
    }
}
