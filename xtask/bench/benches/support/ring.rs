//! A ring, as the driver plans it: where everything is, which chains it makes available, and what has to come of them.

use std::sync::Arc;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use virtio_mem_traits::{DeviceRange, DriverAddr};

use super::memory::Memory;
use super::payload::{expected, payload};
use super::shape::{Completion, Direction, Format, PAGE, PAYLOADS, Payload, Shape};

/// Everything about one virtqueue that stays as it is: the driver makes the same chains available again and again.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) memory: Arc<Memory>,
    pub(crate) format: Format,
    pub(crate) reports: Reports,
    pub(crate) shape: Shape,
    pub(crate) descriptor_area: DriverAddr,
    pub(crate) driver_area: DriverAddr,
    pub(crate) device_area: DriverAddr,
    pub(crate) chains: Vec<Chain>,
}

/// A chain that the driver makes available.
#[derive(Debug)]
pub(crate) struct Chain {
    /// The Buffer ID in a packed ring, the index of the head in a split one.
    pub(crate) id: u16,
    pub(crate) buffers: Vec<Buffer>,
    /// Where its indirect table is, if it has one.
    pub(crate) table: Option<DriverAddr>,
}

/// What a descriptor says, and what its address comes to on this side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffer {
    pub(crate) addr: DriverAddr,
    pub(crate) host: u64,
    pub(crate) len: u32,
    pub(crate) writable: bool,
}

/// What a device says of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Used {
    pub(crate) id: u16,
    pub(crate) len: u32,
}

/// By which addresses a device finds buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// The driver's, which it has to translate.
    Driver,
    /// Those of [`Memory::direct`].
    Direct,
}

/// What a device tells the driver of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reports {
    /// Each chain.
    Each,
    /// The last one of a batch, which stands for all: the rings keep the order, and IN_ORDER was negotiated.
    Batches,
}

/// What a ring is to be like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) format: Format,
    pub(crate) addresses: Addresses,
    pub(crate) reports: Reports,
    pub(crate) shape: Shape,
}

/// Adds a descriptor to the sum of all. No order is kept, since two threads have none.
#[inline]
pub(crate) fn counted(sum: u64, host: u64, len: u32) -> u64 {
    sum.wrapping_add(host).wrapping_add(u64::from(len) << 40)
}

/// Returns as many rings as one pass of the device goes through, all in one memory.
pub(crate) fn rings(plan: Plan) -> Vec<Ring> {
    let shape = plan.shape;
    // Descriptors and their tables, both rings, and what is lost to alignment.
    let room = 48 * u64::from(shape.size()) + 0x400;
    let pool = if shape.payload.is_some() { PAYLOADS.into() } else { POOL };
    let mut memory = Memory::new(shape.regions, pool, room * u64::from(shape.rings()));
    let areas: Vec<_> = (0..shape.rings()).map(|_| Areas::take(&mut memory, plan)).collect();
    let memory = Arc::new(memory);
    areas.into_iter().map(|areas| areas.into_ring(&memory, plan)).collect()
}

/// Where the parts of a ring are. They follow each other in memory, as Linux lays them out for modern devices.
struct Areas {
    descriptor: DriverAddr,
    driver: DriverAddr,
    device: DriverAddr,
    /// Where the first indirect table is, if there are any. The others follow.
    tables: Option<DriverAddr>,
}

impl Areas {
    fn take(memory: &mut Memory, Plan { format, shape, .. }: Plan) -> Self {
        let size = usize::from(shape.size());
        let (driver, device) = match format {
            Format::Split => (6 + 2 * size, 6 + 8 * size),
            Format::Packed => (4, 4),
        };
        let (descriptor, driver, device) = (memory.take(16 * size), memory.take(driver), memory.take(device));
        Self { descriptor, driver, device, tables: shape.indirect.then(|| memory.take(16 * size)) }
    }

    fn into_ring(self, memory: &Arc<Memory>, Plan { format, addresses, reports, shape }: Plan) -> Ring {
        let mut places = Xoshiro256PlusPlus::seed_from_u64(SEED);
        let mut buffer = |index: u16| {
            let (addr, len, writable) = place(index, shape, &mut places);
            let host = memory.host(addr);
            let direct = addresses == Addresses::Direct;
            Buffer { addr: if direct { memory.direct(addr) } else { addr }, host, len, writable }
        };
        let mut chain = |number: u16| {
            let first = number * shape.descriptors;
            let buffers = (first..first + shape.descriptors).map(&mut buffer).collect();
            let table = self.tables.and_then(|tables| tables.checked_add(16 * u64::from(first)));
            Chain { id: number * shape.slots(), buffers, table }
        };
        Ring {
            chains: (0..shape.chains()).map(&mut chain).collect(),
            memory: Arc::clone(memory),
            format,
            reports,
            shape,
            descriptor_area: self.descriptor,
            driver_area: self.driver,
            device_area: self.device,
        }
    }
}

/// Returns where the buffer of a descriptor is, how long, and whether it is writable.
fn place(index: u16, shape: Shape, places: &mut Xoshiro256PlusPlus) -> (DriverAddr, u32, bool) {
    let (chain, part) = (u32::from(index / shape.descriptors), index % shape.descriptors);
    if let Some(Payload { bytes, direction }) = shape.payload {
        let start = u32::from(part) * PAGE;
        let addr = Memory::pool(0, u64::from(chain * bytes.next_multiple_of(64) + start));
        return (addr, PAGE.min(bytes - start), direction == Direction::Write);
    }
    let region = places.random_range(0..shape.regions);
    let addr = Memory::pool(region, u64::from(index) * BUFFER % POOL);
    // The first half can be read, what follows can be written, and no two neighbours are equally long.
    (addr, 64 + u32::from(index % 61), part >= shape.descriptors / 2)
}

/// The room for a buffer that nobody touches, and for all of them. They share it if there are more than fit.
const BUFFER: u64 = 128;
const POOL: u64 = 0x1_0000;

/// The seed of everything that looks random.
const SEED: u64 = 4;

impl Ring {
    /// Returns what the device adds up if it has seen everything.
    pub(crate) fn sum(&self) -> u64 {
        let (numbers, chains) = (0_u32.., &self.chains);
        numbers.zip(chains).fold(0, |sum: u64, (number, chain)| match self.shape.payload {
            Some(payload) => sum.wrapping_add(expected(payload, number)),
            None => chain.buffers.iter().fold(sum, |sum, buffer| counted(sum, buffer.host, buffer.len)),
        })
    }

    /// Returns what the device says of each chain, in the order in which it says that.
    pub(crate) fn used(&self) -> Vec<Used> {
        let bursts = self.chains.chunks(usize::from(self.shape.burst));
        let order = |burst: &[Chain]| match self.reports {
            Reports::Each => completion_order(self.shape, burst.len()),
            Reports::Batches => (0..burst.len()).collect(),
        };
        bursts.flat_map(|burst| order(burst).into_iter().map(|index| self.used_by(&burst[index]))).collect()
    }

    /// Returns what the device says of a chain.
    pub(crate) fn used_by(&self, chain: &Chain) -> Used {
        let len = match self.shape.payload {
            Some(Payload { direction: Direction::Read, .. }) => 0,
            Some(Payload { bytes, direction: Direction::Write }) => bytes,
            None => chain.buffers.last().map_or(0, |buffer| buffer.len),
        };
        Used { id: chain.id, len }
    }

    /// Returns how often the driver wants to be notified: when the first chain was used, or always.
    pub(crate) fn signals(&self) -> u64 {
        if self.shape.event_idx { 1 } else { u64::from(self.shape.chains().div_ceil(self.shape.burst)) }
    }
}

/// What the driver does with payloads.
impl Ring {
    /// Puts into each chain what the device will read, or zeroes where it will write.
    pub(crate) fn put_payloads(&self) {
        self.each_payload(|number, memory, Payload { bytes, direction }| match direction {
            Direction::Read => memory.write_bytes(0, &payload(number, bytes)).expect("it is writable"),
            Direction::Write => memory.fill(0, memory.len(), 0).expect("it is writable"),
        });
    }

    /// Returns how many of the chains hold what the device wrote into all of them.
    pub(crate) fn written_payloads(&self) -> u16 {
        let (mut expected, mut found, mut count) = (Vec::new(), Vec::new(), 0);
        self.each_payload(|_, memory, Payload { bytes, .. }| {
            if expected.is_empty() {
                expected = payload(0, bytes);
            }
            found.resize(memory.len(), 0);
            memory.read_bytes(0, &mut found).expect("it is readable");
            count += u16::from(found == expected);
        });
        count
    }

    fn each_payload(&self, mut work: impl FnMut(u32, DeviceRange<'_>, Payload)) {
        let Some(payload) = self.shape.payload else { return };
        for (number, chain) in (0..).zip(&self.chains) {
            // The parts of a payload follow each other.
            let first = chain.buffers[0];
            work(number, self.memory.range(first.addr, payload.bytes as usize), payload);
        }
    }
}

/// Returns the order in which a burst of so many chains is completed.
pub(crate) fn completion_order(shape: Shape, burst: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..burst).collect();
    if shape.completion == Completion::OutOfOrder {
        order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(SEED));
    }
    order
}
