//! The driver's side of the tests: a queue in one format, and memory that is as strict as it can be.
//!
//! To the device, readable elements and everything else that a driver writes are read-only, writable elements are
//! write-only. That holds in every test that does not say otherwise.

use core::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use virtio_chain::{IoVec, ReadableChain, WritableChain, Writer};
use virtio_fake_driver::{
    AddressPool, DriverChain, MemEvent, SplitDriver, SplitFixture, SplitFixtureOptions, TestMem, features,
};
use virtio_mem_traits::{Access, DriverAddr, DriverMem, DriverRange};
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{QueueChain, QueueLimits, Refused, SplitQueue};
use virtio_util::NotificationCounter;

pub(crate) type Mem = Rc<TestMem>;
pub(crate) type Notify = Arc<NotificationCounter>;
pub(crate) type Ring = SplitRing<Mem>;
pub(crate) type Queue = SplitQueue<Mem, Notify>;
pub(crate) type RigChain<'q> = QueueChain<'q, Ring, Notify>;

pub(crate) type Readable<'q> = ReadableChain<RigChain<'q>>;
pub(crate) type Writable<'q> = WritableChain<RigChain<'q>>;
pub(crate) type Part<'c> = Writer<&'c RigChain<'c>>;

/// The bytes in each of the two zones of memory that elements are put into.
const ZONE: u64 = 0x8000;

/// A queue, its driver, and what the two have between them.
pub(crate) struct Rig {
    pub(crate) queue: Queue,
    pub(crate) driver: SplitDriver,
    pub(crate) mem: Mem,
    pub(crate) notifications: Notify,
    readable: AddressPool,
    writable: AddressPool,
    placed: Vec<Placed>,
}

/// What a driver says, and where it lets the device answer: as lengths of elements.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub(crate) readable: Vec<Vec<u8>>,
    pub(crate) writable: Vec<usize>,
    /// How many elements come before the indirect table, if there is one.
    pub(crate) direct: Option<usize>,
}

/// Where the elements of a chain in flight are.
pub(crate) struct Placed {
    pub(crate) id: u16,
    pub(crate) readable: Vec<DriverRange>,
    pub(crate) writable: Vec<DriverRange>,
    before: Vec<u8>,
}

/// A chain that came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) id: u16,
    /// How many bytes were written, as the device says.
    pub(crate) len: u32,
    /// What all writable bytes are now, and what they were before.
    pub(crate) bytes: Vec<u8>,
    pub(crate) before: Vec<u8>,
}

impl Message {
    /// One readable element for each of `readable`, one writable for each length in `writable`.
    pub(crate) fn new(readable: &[&[u8]], writable: &[usize]) -> Self {
        let readable = readable.iter().map(|part| part.to_vec()).collect();
        Self { readable, writable: writable.to_vec(), direct: None }
    }
}

impl Rig {
    /// A queue of 256 descriptors that takes indirect ones.
    pub(crate) fn new() -> Self {
        Self::with(256, features::INDIRECT_DESC, QueueLimits::default())
    }

    pub(crate) fn with(size: u16, features: u64, limits: QueueLimits) -> Self {
        Self::prepared(size, features, limits, |_, _| ())
    }

    /// A queue whose used ring is in two pieces, so that the elements can be taken away while it runs.
    pub(crate) fn with_used_ring_in_pieces() -> Self {
        Self::prepared(8, 0, QueueLimits::default(), |mem, driver| {
            mem.split_at(driver.areas().used_element(0).start());
        })
    }

    fn prepared(size: u16, features: u64, limits: QueueLimits, prepare: impl FnOnce(&TestMem, &SplitDriver)) -> Self {
        let options = SplitFixtureOptions { size, features, limits, memory_len: 0x20000, ..Default::default() };
        let mut zones = None;
        let fixture = options.build_on(|heap, driver| {
            let mut zone = || driver.pool().alloc(ZONE, 16).unwrap();
            let (readable, writable) = (zone(), zone());
            zones = Some((AddressPool::new(readable), AddressPool::new(writable)));
            let (all, mem) = (heap.range(), Rc::new(TestMem::new(heap)));
            mem.restrict(all, Access::Read);
            mem.restrict(writable, Access::Write);
            mem.restrict(driver.areas().used_ring(), Access::ReadWrite);
            prepare(&mem, driver);
            mem
        });
        let SplitFixture { queue, driver, mem, notifications } = fixture.unwrap();
        let (readable, writable) = zones.unwrap();
        Self { queue, driver, mem, notifications, readable, writable, placed: Vec::new() }
    }

    /// Makes `message` available, and returns the id of its chain. Elements without bytes are nowhere in memory.
    pub(crate) fn add(&mut self, message: &Message) -> u16 {
        let mut chain = DriverChain::new();
        let (mut readable, mut writable) = (Vec::new(), Vec::new());
        for part in &message.readable {
            let range = Self::place(&mut self.readable, part.len());
            chain = chain.readable(part).at(range.start());
            readable.push(range);
        }
        for len in &message.writable {
            let range = Self::place(&mut self.writable, *len);
            chain = chain.writable(u32::try_from(*len).unwrap()).at(range.start());
            writable.push(range);
        }
        if let Some(direct) = message.direct {
            chain = chain.indirect_after(direct).table_misaligned_by(direct as u8 % 16);
        }
        let id = self.driver.add(&chain).unwrap();
        let before = self.peek(&writable);
        self.placed.push(Placed { id, readable, writable, before });
        id
    }

    /// Makes a chain available that has its elements where the test wants them, and returns its id.
    pub(crate) fn add_at(&mut self, elements: &[(DriverRange, Access)]) -> u16 {
        let mut chain = DriverChain::new();
        for (range, access) in elements {
            let bytes = self.mem.view().peek(range.start(), range.len() as usize);
            chain = match access {
                Access::Read => chain.readable(bytes),
                _ => chain.writable(bytes.len() as u32),
            };
            chain = chain.at(range.start());
        }
        self.driver.add(&chain).unwrap()
    }

    /// Finds a place, at no particular alignment, next to the one before or a little apart.
    fn place(zone: &mut AddressPool, len: usize) -> DriverRange {
        if len == 0 {
            return DriverRange::new(DriverAddr(u64::MAX), 0).unwrap();
        }
        let gap = len as u64 % 3;
        zone.alloc(len as u64 + gap, 1).unwrap().after(gap)
    }

    fn peek(&self, ranges: &[DriverRange]) -> Vec<u8> {
        let bytes = ranges.iter().map(|range| self.mem.view().peek(range.start(), range.len() as usize));
        bytes.collect::<Vec<_>>().concat()
    }

    /// Returns where the chain is that was added last.
    pub(crate) fn last_placed(&self) -> &Placed {
        self.placed.last().unwrap()
    }

    /// Fetches the chain that is there.
    pub(crate) fn fetch(&mut self) -> RigChain<'_> {
        self.queue.next_chain().unwrap().unwrap()
    }

    /// Takes the next chain back, if there is one.
    pub(crate) fn try_reap(&mut self) -> Option<Answer> {
        let used = self.driver.reap().unwrap()?;
        let place = self.placed.iter().position(|placed| placed.id == used.id).unwrap();
        let placed = self.placed.remove(place);
        let bytes = self.peek(&placed.writable);
        assert!(bytes.starts_with(used.written()), "the driver sees the same bytes either way");
        Some(Answer { id: used.id, len: used.len, bytes, before: placed.before })
    }

    /// Takes the chain back that is there.
    pub(crate) fn reap(&mut self) -> Answer {
        self.try_reap().unwrap()
    }

    /// Makes `message` available, lets `device` have its chain, and takes it back.
    pub(crate) fn serve(&mut self, message: &Message, device: impl FnOnce(RigChain<'_>)) -> Answer {
        let id = self.add(message);
        device(self.fetch());
        let answer = self.reap();
        assert_eq!(answer.id, id);
        assert!(self.try_reap().is_none() && self.queue.in_flight() == 0, "a chain comes back once");
        answer
    }

    /// Lets the memory of both zones fall into pieces at random places, one for every `every` bytes.
    pub(crate) fn shatter(&self, seed: u64, every: u64) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let placed = self.placed.iter().flat_map(|placed| placed.readable.iter().chain(&placed.writable));
        for range in placed {
            for _ in 0..range.len().div_ceil(every) {
                self.mem.split_at(DriverAddr(range.start().0 + rng.random_range(0..=range.len())));
            }
        }
    }
}

/// Returns the chain that was refused, for the reason `expected`.
#[track_caller]
pub(crate) fn refused<T, C, E: PartialEq + Debug>(result: Result<T, Refused<C, E>>, expected: E) -> C {
    let Err(Refused { chain, error }) = result else { panic!("accepted, and not refused with {expected:?}") };
    assert_eq!(error, expected);
    chain
}

/// Returns where the driver has the memory of `io_vec`, which is what a system call would find there.
pub(crate) fn locate(mem: &TestMem, io_vec: &IoVec) -> DriverRange {
    let heap = mem.view().mem();
    let base = heap.translate(heap.range(), Access::ReadWrite).unwrap().as_ptr().addr().get();
    let offset = (io_vec.base().addr() - base) as u64;
    DriverRange::new(DriverAddr(heap.range().start().0 + offset), io_vec.len() as u64).unwrap()
}

/// Does what `writev` does: copies at most `most` bytes out of `pieces`, and returns them.
pub(crate) fn gather(mem: &TestMem, pieces: &[IoVec], most: usize) -> Vec<u8> {
    let ranges = pieces.iter().map(|io_vec| locate(mem, io_vec));
    let parts = ranges.map(|range| mem.view().peek(range.start(), range.len() as usize));
    let mut bytes = parts.collect::<Vec<_>>().concat();
    bytes.truncate(most);
    bytes
}

/// Does what `readv` does: copies `bytes` into `pieces`, and returns how many fitted.
pub(crate) fn scatter(mem: &TestMem, pieces: &[IoVec], bytes: &[u8]) -> usize {
    let mut rest = bytes;
    for io_vec in pieces {
        let (part, after) = rest.split_at(rest.len().min(io_vec.len()));
        mem.view().poke(locate(mem, io_vec).start(), part);
        rest = after;
    }
    bytes.len() - rest.len()
}

impl Placed {
    /// Counts how often each readable byte was reported before it was read, in `log`.
    pub(crate) fn reads(&self, log: &[MemEvent]) -> Vec<usize> {
        let reads = log.iter().filter_map(|event| if let MemEvent::Read(range) = event { Some(*range) } else { None });
        count(&self.readable, reads)
    }

    /// Counts how often each writable byte was reported as written, in `log`.
    pub(crate) fn writes(&self, log: &[MemEvent]) -> Vec<usize> {
        let writes =
            log.iter().filter_map(|event| if let MemEvent::Written(range) = event { Some(*range) } else { None });
        count(&self.writable, writes)
    }
}

/// Counts in how many of `reports` each byte of `elements` is.
fn count(elements: &[DriverRange], reports: impl Iterator<Item = DriverRange>) -> Vec<usize> {
    let reports: Vec<_> = reports.collect();
    let bytes = elements.iter().flat_map(|range| (0..range.len()).map(|offset| DriverAddr(range.start().0 + offset)));
    bytes.map(|addr| reports.iter().filter(|range| range.offset_of(addr).is_some()).count()).collect()
}

impl Answer {
    /// Returns what the driver may look at.
    pub(crate) fn written(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }

    /// Checks that the device says it wrote `len` bytes, and that it wrote just `runs`: bytes from an offset on.
    #[track_caller]
    pub(crate) fn check(&self, len: u32, runs: &[(usize, &[u8])]) {
        let mut expected = self.before.clone();
        for (offset, run) in runs {
            expected[*offset..offset + run.len()].copy_from_slice(run);
        }
        assert_eq!(self.bytes, expected);
        assert_eq!(self.len, len);
    }
}
