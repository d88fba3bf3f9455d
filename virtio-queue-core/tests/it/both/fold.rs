//! What a queue serves and folds is what a burst finds and an iterator sees, whatever the driver wrote, and whatever it
//! writes meanwhile.

use core::cell::RefCell;
use std::sync::Arc;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use virtio_mem_traits::{
    Access, AccessError, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, RegionCache, TranslateError,
};
use virtio_queue_core::packed::PackedRing;
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{
    AnyRing, Chain, ChainError, ChainErrorKind, DescChain, DriverNotify, FatalError, FromConfig, Gathered, Piece,
    Queue, QueueConfig, Restorable, RingFeatures, Walk,
};

const BASE: u64 = 0x1000_0000;
const LEN: usize = 0x1000;
const SIZE: u16 = 16;
/// Where the areas are, one behind the other, with what the driver writes meanwhile in the first two.
const DRIVER_AREA: u64 = BASE + 0x200;
const DEVICE_AREA: u64 = BASE + 0x300;
/// How many descriptors there are, one behind the other: those of the ring, and those that indirect tables are made of.
const DESCRIPTORS: usize = 16 + 16;
const TABLES: u64 = BASE + 0x400;

struct Quiet;

impl DriverNotify for Quiet {
    fn notify(&self) {}
}

/// Memory that is cut into pieces, part of which may not be written, and that tells or does not tell of it at once.
struct Cut {
    heap: HeapMem,
    cuts: Vec<u64>,
    read_only: DriverRange,
    at_once: bool,
    reports: bool,
}

impl Cut {
    fn new(rng: &mut Xoshiro256PlusPlus) -> Self {
        let heap = HeapMem::new(DriverAddr(BASE), LEN).unwrap();
        // Most areas are in one piece. Those that are not have to end at words.
        let area_cut = BASE + 8 * rng.random_range(0..0x80);
        let mut cuts: Vec<_> = (0..rng.random_range(0..5)).map(|_| TABLES + rng.random_range(0..0xc00)).collect();
        cuts.extend(rng.random_ratio(1, 4).then_some(area_cut));
        let read_only = DriverRange::new(DriverAddr(TABLES + 0x800), rng.random_range(0..0x40)).unwrap();
        Self { heap, cuts, read_only, at_once: rng.random_ratio(3, 4), reports: rng.random_ratio(1, 8) }
    }

    fn all(&self) -> DeviceRange<'_> {
        self.heap.translate(self.heap.range(), Access::ReadWrite).unwrap()
    }

    fn bytes(&self) -> Result<Vec<u8>, AccessError> {
        let mut bytes = vec![0; LEN];
        self.all().read_bytes(0, &mut bytes).map(|()| bytes)
    }

    fn poke(&self, addr: u64, word: u64) {
        self.all().store_relaxed((addr - BASE) as usize, word.to_le()).unwrap();
    }

    fn poke_u16(&self, addr: u64, word: u16) {
        self.all().store_relaxed((addr - BASE) as usize, word.to_le()).unwrap();
    }

    fn may(&self, range: DriverRange, access: Access) -> bool {
        !access.writes() || self.read_only.offset_of(range.start()).is_none()
    }
}

impl DriverMem for Cut {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        let addr = range.start();
        if !self.may(range, access) {
            return Err(TranslateError::Denied { addr, access });
        }
        let edges = [self.read_only.start().0, self.read_only.after(u64::MAX).start().0];
        let cuts = self.cuts.iter().copied().chain(edges).filter(|cut| *cut > addr.0);
        self.heap.translate(range.prefix(cuts.min().map_or(u64::MAX, |cut| cut - addr.0)), access)
    }

    fn translate_at_once(&self, addr: DriverAddr, len: u32, access: Access) -> Option<DeviceRange<'_>> {
        let range = DriverRange::new(addr, len.into()).filter(|_| self.at_once)?;
        self.translate_all(range, access).ok()
    }

    fn translations_last(&self) -> bool {
        true
    }

    fn reports(&self, _: Access) -> bool {
        self.reports
    }
}

/// What was seen of a chain: its pieces here, and its error.
type Seen = (Vec<(usize, usize, Access)>, Option<ChainError>);

/// A driver that goes on writing while the device works, the same way each time.
struct Meddler<'m> {
    mem: &'m Cut,
    rng: Xoshiro256PlusPlus,
    seldom: u32,
    /// How many chains were gathered.
    gathered: usize,
}

impl Meddler<'_> {
    fn meddle(&mut self) {
        if self.rng.random_ratio(1, self.seldom) {
            let index = self.rng.random_range(0..DESCRIPTORS);
            let (addr, word) = (address(&mut self.rng), word(&mut self.rng));
            let at = if index < usize::from(SIZE) { BASE } else { TABLES - 16 * u64::from(SIZE) } + 16 * index as u64;
            self.mem.poke(at, addr);
            self.mem.poke(at + 8, word);
        }
    }
}

fn place(piece: DeviceRange<'_>, access: Access) -> (usize, usize, Access) {
    assert_eq!(piece.access(), access);
    (piece.as_ptr().addr().get(), piece.len(), access)
}

/// Looks at each element by itself, and translates it piece by piece.
fn slow(walk: impl Walk, mem: &Cut, driver: &mut Meddler<'_>) -> Seen {
    let (id, mut seen) = (walk.id(), Vec::new());
    for element in walk {
        let element = match element {
            Ok(element) => element,
            Err(error) => return (seen, Some(error)),
        };
        let mut rest = element.range;
        while !rest.is_empty() {
            match mem.translate(rest, element.access) {
                Ok(piece) => {
                    seen.push(place(piece, element.access));
                    driver.meddle();
                    rest = rest.after(piece.len() as u64);
                }
                Err(error) => return (seen, Some(ChainError { id, kind: ChainErrorKind::Memory(error) })),
            }
        }
    }
    (seen, None)
}

/// How many bytes the device says it has written.
fn written(seen: &Seen) -> u32 {
    seen.0.len() as u32 % 3
}

/// Serves what is available in a burst, chain by chain and element by element.
fn serve_slowly<R: FromConfig<Mem = Arc<Cut>>>(
    queue: &mut Queue<R, Quiet>,
    limit: usize,
    driver: &mut Meddler<'_>,
) -> (Vec<Seen>, Option<FatalError>) {
    let mem = Arc::clone(queue.mem());
    let (mut all, mut burst) = (Vec::new(), queue.burst());
    while all.len() < limit {
        match burst.next_chain() {
            Ok(Some(chain)) => {
                let seen = slow(chain.walk(), &mem, driver);
                let done = chain.return_unchecked(written(&seen)).map_err(|refused| refused.error);
                all.push(seen);
                done.unwrap();
            }
            Ok(None) => break,
            Err(error) => return (all, Some(error)),
        }
    }
    (all, burst.finish().err())
}

/// Serves what is available in one go.
fn serve<R: FromConfig<Mem = Arc<Cut>>>(
    queue: &mut Queue<R, Quiet>,
    limit: usize,
    driver: &mut Meddler<'_>,
) -> (Vec<Seen>, Option<FatalError>) {
    let mem = Arc::clone(queue.mem());
    if limit % 2 == 0 {
        serve_in(&RegionCache::new(&*mem), queue, limit, driver)
    } else {
        serve_in(&*mem, queue, limit, driver)
    }
}

fn serve_in<R: FromConfig<Mem = Arc<Cut>>>(
    mem: &impl DriverMem,
    queue: &mut Queue<R, Quiet>,
    limit: usize,
    driver: &mut Meddler<'_>,
) -> (Vec<Seen>, Option<FatalError>) {
    let (current, mut all) = (RefCell::new(Vec::new()), Vec::new());
    let work = |count: usize, Piece { range, memory, access }: Piece<'_>| {
        assert_eq!(range.len(), memory.len() as u64);
        current.borrow_mut().push(place(memory, access));
        driver.meddle();
        Ok(count + 1)
    };
    let served = queue.serve(limit, mem, 0, work, |result| {
        let pieces = current.take();
        let error = result.map(|count| assert_eq!(count, pieces.len())).err();
        all.push((pieces, error));
        all.last().map_or(0, written)
    });
    let error = served.map(|count| assert_eq!(count, all.len())).err();
    (all, error)
}

/// Serves what is available in bulk, as far as that goes, and chain by chain where it does not.
fn serve_in_bulk<R: FromConfig<Mem = Arc<Cut>>>(
    queue: &mut Queue<R, Quiet>,
    limit: usize,
    driver: &mut Meddler<'_>,
) -> (Vec<Seen>, Option<FatalError>) {
    let mem = Arc::clone(queue.mem());
    let (mut all, mut chains) = (Vec::<Seen>::new(), Gathered::<7>::new());
    let (ring, state) = queue.parts_mut();
    while all.len() < limit {
        let access = if all.len() % 2 == 0 { Access::Read } else { Access::Write };
        let gathered = match state.gather(ring, limit - all.len(), &*mem, access, &mut chains) {
            Ok(gathered) => gathered,
            Err(error) => return (all, Some(error)),
        };
        assert_eq!((gathered, usize::from(state.in_flight())), (chains.len(), chains.len()));
        driver.gathered += gathered;
        let work = |Piece { range, memory, access: found }: Piece<'_>| {
            assert_eq!((range.len(), found), (memory.len() as u64, access));
            all.push((vec![place(memory, access)], None));
            Some(all.last().map_or(0, written))
        };
        state.complete_gathered(ring, &mut chains, work).unwrap();
        if all.len() < limit {
            match state.fetch(ring) {
                Ok(Some(token)) => {
                    let chain = DescChain::new(ring, token, &mut *state);
                    all.push(slow(chain.walk(), &mem, driver));
                    let token = chain.into_token();
                    state.complete(ring, token, all.last().map_or(0, written)).unwrap();
                }
                Ok(None) => break,
                Err(error) => return (all, Some(error)),
            }
        }
    }
    (all, state.publish(ring).err())
}

/// Returns chains one by one, each of which is published at once.
fn serve_singly_slowly<R: FromConfig<Mem = Arc<Cut>>>(
    queue: &mut Queue<R, Quiet>,
    limit: usize,
    driver: &mut Meddler<'_>,
) -> (Vec<Seen>, Option<FatalError>) {
    let (mem, mut all) = (Arc::clone(queue.mem()), Vec::new());
    while all.len() < limit {
        match queue.next_chain() {
            Ok(Some(chain)) => {
                let seen = slow(chain.walk(), &mem, driver);
                let done = chain.return_unchecked(written(&seen)).map_err(|refused| refused.error);
                all.push(seen);
                done.unwrap();
            }
            Ok(None) => break,
            Err(error) => return (all, Some(error)),
        }
    }
    (all, None)
}

/// Serves chains one by one.
fn serve_singly<R: FromConfig<Mem = Arc<Cut>>>(
    queue: &mut Queue<R, Quiet>,
    limit: usize,
    driver: &mut Meddler<'_>,
) -> (Vec<Seen>, Option<FatalError>) {
    let mem = Arc::clone(queue.mem());
    let (cache, mut all) = (RegionCache::new(&*mem), Vec::new());
    while all.len() < limit {
        let (mut one, error) = serve_in(&cache, queue, 1, driver);
        let more = !one.is_empty();
        all.append(&mut one);
        if error.is_some() || !more {
            return (all, error);
        }
    }
    (all, None)
}

fn address(rng: &mut Xoshiro256PlusPlus) -> u64 {
    match rng.random_range(0..24) {
        0 => rng.random(),
        1 => u64::MAX - rng.random_range(0..64),
        2 => BASE - rng.random_range(0..64),
        3 => BASE + LEN as u64 - rng.random_range(0..64),
        4 => BASE + LEN as u64 + rng.random_range(0..64),
        5 => TABLES + 8 * rng.random_range(0..32),
        6..10 => TABLES + 16 * rng.random_range(0..16),
        _ => TABLES + rng.random_range(0x100..0xc00),
    }
}

fn length(rng: &mut Xoshiro256PlusPlus) -> u32 {
    match rng.random_range(0..40) {
        0 => 0,
        1 => rng.random(),
        2 => u32::MAX - rng.random_range(0..4),
        3 => 1 << rng.random_range(0..32),
        4 => (1 << 28) + rng.random_range(0..3) - 1,
        5..15 => 16 * rng.random_range(1..17),
        _ => rng.random_range(1..200),
    }
}

fn flags(rng: &mut Xoshiro256PlusPlus) -> u16 {
    match rng.random_range(0..16) {
        0 => rng.random(),
        1 | 2 => 4,
        3 => 5,
        4 => 2,
        5 => 0,
        6..10 => 3,
        _ => 1,
    }
}

/// The second word of a descriptor of either format.
fn word(rng: &mut Xoshiro256PlusPlus) -> u64 {
    let (len, index) = (u64::from(length(rng)), rng.random_range(0..SIZE));
    if rng.random() {
        let next = if rng.random_ratio(1, 30) { rng.random() } else { index };
        len | u64::from(flags(rng)) << 32 | u64::from(next) << 48
    } else {
        len | u64::from(index) << 32 | u64::from(flags(rng)) << 48
    }
}

fn config(rng: &mut Xoshiro256PlusPlus, packed: bool) -> QueueConfig {
    let optional = |bit: u64, chosen: bool| if chosen { 1 << bit } else { 0 };
    let bits = 1 << 32 | optional(29, rng.random()) | optional(34, packed) | optional(28, rng.random_ratio(3, 4));
    let features = RingFeatures::from_negotiated(bits).unwrap();
    let [descriptors, driver, device] = [BASE, DRIVER_AREA, DEVICE_AREA].map(DriverAddr);
    let mut config = QueueConfig::new(SIZE, features, descriptors, driver, device);
    config.limits.chain_len = match rng.random_range(0..4) {
        0 => Some(rng.random_range(1..6)),
        1 => Some(100),
        2 => Some(17),
        _ => None,
    };
    config
}

/// Makes chains available in a split ring, of descriptors that are nearly right.
fn offer_split(mem: &Cut, rng: &mut Xoshiro256PlusPlus, index: &mut u16) {
    for slot in 0..DESCRIPTORS {
        let at = if slot < usize::from(SIZE) { BASE } else { TABLES - 16 * u64::from(SIZE) } + 16 * slot as u64;
        let next = if rng.random_ratio(1, 40) { rng.random() } else { rng.random_range(0..SIZE) };
        mem.poke(at, address(rng));
        mem.poke(at + 8, u64::from(length(rng)) | u64::from(flags(rng)) << 32 | u64::from(next) << 48);
    }
    let count = if rng.random_ratio(1, 50) { rng.random() } else { rng.random_range(0..=SIZE) };
    for entry in 0..SIZE {
        let head = if rng.random_ratio(1, 200) { rng.random() } else { rng.random_range(0..SIZE) };
        mem.poke_u16(DRIVER_AREA + 4 + 2 * u64::from(entry), head);
    }
    *index = index.wrapping_add(count);
    mem.poke_u16(DRIVER_AREA + 2, *index);
}

/// Makes lists available in a packed ring, from `next` on, of descriptors that are nearly right.
fn offer_packed(mem: &Cut, rng: &mut Xoshiro256PlusPlus, next: u16) {
    let (first, wrap) = (next & 0x7fff, next >> 15 != 0);
    let count = rng.random_range(0..=SIZE);
    for slot in 0..DESCRIPTORS as u16 {
        let at = if slot < SIZE { BASE } else { TABLES - 16 * u64::from(SIZE) } + 16 * u64::from(slot);
        let ahead = (slot + SIZE - first % SIZE) % SIZE;
        let wrap = wrap == (slot >= first);
        let available = if wrap == (ahead < count) { 0x80 } else { 0x8000 };
        let flags = if rng.random_ratio(1, 60) { rng.random() } else { flags(rng) & 0x7f7f | available };
        mem.poke(at, address(rng));
        mem.poke(at + 8, u64::from(length(rng)) | u64::from(rng.random::<u16>()) << 32 | u64::from(flags) << 48);
    }
}

/// How often something happened, to know that it did.
#[derive(Debug, Default)]
struct Tally {
    good: usize,
    bad: usize,
    pieces: usize,
    fatal: usize,
    gathered: usize,
}

/// Serves the same rings slowly and fast. What is seen, what is written and what is said must be the same.
fn check<R: FromConfig<Mem = Arc<Cut>> + Restorable>(packed: bool, seeds: u64) {
    let mut tally = Tally::default();
    for seed in 0..seeds {
        let rng = &mut Xoshiro256PlusPlus::seed_from_u64(seed);
        let (config, seldom) = (config(rng, packed), if rng.random() { 3 } else { u32::MAX });
        let way = seed % 4;
        // What is gathered is read before the driver goes on.
        let seldom = if way == 1 { u32::MAX } else { seldom };
        let mut sides = [(); 2].map(|()| {
            let mem = Arc::new(Cut::new(&mut rng.clone()));
            let queue = Queue::<R, Quiet>::new(&config, Arc::clone(&mem), Quiet);
            (mem, queue)
        });
        let mut index = 0;
        for round in 0..4 {
            let (driver_seed, offer_seed, limit) = (rng.random(), rng.random(), rng.random_range(1..24));
            let mut results = Vec::new();
            for (side, (mem, queue)) in sides.iter_mut().enumerate() {
                let Ok(queue) = queue else { continue };
                let offer = &mut Xoshiro256PlusPlus::seed_from_u64(offer_seed);
                if packed {
                    offer_packed(mem, offer, queue.save().next_available());
                } else {
                    offer_split(mem, offer, &mut { index });
                }
                let mut driver =
                    Meddler { mem, rng: Xoshiro256PlusPlus::seed_from_u64(driver_seed), seldom, gathered: 0 };
                let (all, error) = match (side, way) {
                    (0, 0) => serve_singly_slowly(queue, limit, &mut driver),
                    (0, _) => serve_slowly(queue, limit, &mut driver),
                    (_, 0) => serve_singly(queue, limit, &mut driver),
                    (_, 1) => serve_in_bulk(queue, limit, &mut driver),
                    (_, _) => serve(queue, limit, &mut driver),
                };
                tally.gathered += driver.gathered;
                let here = mem.all().as_ptr().addr().get();
                let seen: Vec<Seen> = all
                    .into_iter()
                    .map(|(pieces, error)| {
                        (pieces.into_iter().map(|(at, len, access)| (at - here, len, access)).collect(), error)
                    })
                    .collect();
                results.push((seen, error, queue.fault(), queue.in_flight(), mem.bytes().unwrap()));
            }
            if !packed {
                index = u16::from_le_bytes([0x202, 0x203].map(|at| sides[0].0.bytes().unwrap()[at]));
            }
            let [slow, fast] = results.try_into().unwrap_or_default();
            assert!(
                slow == fast,
                "seed {seed}, round {round}: {:?} instead of {:?}",
                (fast.0, fast.1),
                (slow.0, slow.1)
            );
            for (pieces, error) in &slow.0 {
                tally.pieces += pieces.len();
                *(if error.is_some() { &mut tally.bad } else { &mut tally.good }) += 1;
            }
            if slow.1.is_some() {
                tally.fatal += 1;
                break;
            }
        }
    }
    let Tally { good, bad, pieces, fatal, gathered } = tally;
    let enough = seeds as usize / 8;
    assert!(good > enough && bad > enough && pieces > enough && fatal.min(gathered) > enough / 8, "{tally:?}");
}

/// How many rings there are for each format: more with `VIRTIO_FOLD_RINGS` in the environment.
fn rings() -> u64 {
    std::env::var("VIRTIO_FOLD_RINGS").map_or(10_000, |rings| rings.parse().unwrap())
}

/// INV-1, HOST-20: in a split ring.
#[test]
fn split_ring_served_at_once_is_as_chain_by_chain() {
    check::<SplitRing<Arc<Cut>>>(false, rings());
}

/// INV-1, HOST-20: in a packed ring.
#[test]
fn packed_ring_served_at_once_is_as_chain_by_chain() {
    check::<PackedRing<Arc<Cut>>>(true, rings());
}

/// INV-1, HOST-20: in a ring of the format that was negotiated.
#[test]
fn ring_of_either_format_served_at_once_is_as_chain_by_chain() {
    check::<AnyRing<Arc<Cut>>>(false, rings() / 8);
    check::<AnyRing<Arc<Cut>>>(true, rings() / 8);
}
