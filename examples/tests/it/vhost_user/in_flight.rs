//! A disk on io_uring with 128 requests in flight, and all that a front end does meanwhile, at random moments.
//!
//! Each request has a block of the disk and a place in memory to itself, so that the order makes no difference. The
//! driver finds a request that is answered twice, or that it has not made.

use std::collections::HashMap;
use std::fmt;
use std::hint;
use std::mem;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use virtio_examples::blk::FileStorage;
use virtio_fake_driver::{DriverChain, UsedBuffer};
use virtio_mem_traits::{DriverAddr, DriverRange};

use super::driver::{EVENT_IDX, PACKED};
use super::front_end::{Answer, FrontEnd, RESET_DEVICE, Region};
use super::guest::Guest;
use super::uring::{DEPTH, guest, serve};
use crate::blk_file::TempFile;
use crate::disk::{IN, IOERR, OK, OUT, SECTOR, header, pattern};

/// The features of the rings, and whether the file is past the page cache, where requests take longer.
const CASES: [(u64, bool); 4] = [(0, true), (EVENT_IDX, false), (PACKED, true), (PACKED | EVENT_IDX, false)];
/// How long a block is.
const BLOCK: usize = 4096;
/// What memory has that nobody writes to.
const MARK: u8 = 0xa5;

/// Returns how often something happens in each case. The environment variable `IN_FLIGHT_TIMES` says how often in all.
fn times() -> usize {
    let times = std::env::var("IN_FLIGHT_TIMES").map_or(48, |times| times.parse().unwrap());
    times / CASES.len()
}

/// A request that was made and not answered: what it writes to its block, if it is not a read.
struct Request {
    block: usize,
    written: Option<Vec<u8>>,
}

/// A guest that makes requests, and knows what is on its disk.
struct Load {
    guest: Guest,
    rng: SmallRng,
    disk: Vec<u8>,
    requests: HashMap<u16, Request>,
    /// Where the payloads are.
    payloads: DriverRange,
    counts: Counts,
}

/// What has happened.
#[derive(Default)]
struct Counts {
    events: usize,
    answered: usize,
    /// How many requests were not answered when the back end had done what the front end wanted. Of the others, which
    /// made up 128, it is not known when they were.
    open: usize,
    /// How many of those that were answered have failed, because their memory was away.
    failed: usize,
}

impl Load {
    fn new(features: u64, disk: Vec<u8>) -> Self {
        let mut guest = guest(features, 0x20_0000);
        let payloads = guest.driver.pool().alloc((DEPTH * BLOCK) as u64, BLOCK as u64).unwrap();
        let (rng, counts) = (SmallRng::seed_from_u64(features), Counts::default());
        Self { guest, rng, disk, requests: HashMap::new(), payloads, counts }
    }

    /// Makes requests until so many are not answered, and returns at a random moment.
    fn fill(&mut self) {
        let mut busy = [false; DEPTH];
        self.requests.values().for_each(|request| busy[request.block] = true);
        for block in (0..DEPTH).filter(|block| !busy[*block]) {
            let (sector, place) =
                ((block * BLOCK / SECTOR) as u64, self.payloads.after((block * BLOCK) as u64).start());
            let written = self.rng.random::<bool>().then(|| {
                let mut bytes = vec![0; BLOCK];
                self.rng.fill_bytes(&mut bytes);
                bytes
            });
            let chain = match &written {
                Some(bytes) => DriverChain::new().readable(header(OUT, sector)).readable(bytes).at(place),
                None => DriverChain::new().readable(header(IN, sector)).writable(BLOCK as u32).at(place),
            };
            let id = self.guest.add(&chain.writable(1)).unwrap();
            assert!(self.requests.insert(id, Request { block, written }).is_none(), "{id} is in flight already");
        }
        self.guest.kick();
        assert_eq!(self.requests.len(), DEPTH);
        self.wait_for_a_random_time();
    }

    fn wait_for_a_random_time(&mut self) {
        (0..self.rng.random_range(0..20_000)).for_each(|_| hint::spin_loop());
    }

    /// Takes note of that something has happened, after a look at what was answered by then.
    fn happened(&mut self) {
        self.counts.events += 1;
        self.counts.open += self.requests.len();
    }

    /// Looks at what has been answered. `away` is whether the payloads have not been there all the time.
    fn look(&mut self, away: bool) {
        let used = self.guest.driver.reap_all().unwrap();
        used.iter().for_each(|used| self.check(used, away));
    }

    fn check(&mut self, used: &UsedBuffer, away: bool) {
        let Request { block, written } = self.requests.remove(&used.id).unwrap();
        self.counts.answered += 1;
        let (status, payload) = used.writable().split_last().unwrap();
        if away && *status == IOERR {
            self.counts.failed += 1;
            return;
        }
        assert_eq!(*status, OK, "block {block}");
        let on_disk = &mut self.disk[block * BLOCK..][..BLOCK];
        match written {
            Some(bytes) => on_disk.copy_from_slice(&bytes),
            None => assert!(used.len as usize == BLOCK + 1 && payload == on_disk, "block {block} is something else"),
        }
    }

    /// Waits until all has been answered.
    fn finish(&mut self) {
        while !self.requests.is_empty() {
            let used = self.guest.wait();
            used.iter().for_each(|used| self.check(used, false));
        }
    }

    /// Returns the regions of the guest without the payloads, and that of the payloads.
    fn regions(&self) -> ([Region; 2], Region) {
        let all = self.guest.mem.range();
        let before = all.offset_of(self.payloads.start()).unwrap();
        let others = [all.prefix(before), all.after(before + self.payloads.len())];
        (others.map(|range| self.guest.part(range)), self.guest.part(self.payloads))
    }

    /// Returns whether the device has written nothing since the payloads were these, and then all of the memory. In
    /// between, the driver has looked at the ring, which can write to it.
    fn is_alone_since(&self, payloads: &[u8], bytes: &[u8]) -> bool {
        self.payload_bytes() == payloads && self.guest.mem.bytes() == bytes
    }

    fn payload_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.payloads.len() as usize];
        self.guest.mem.file().read_exact_at(&mut bytes, self.regions().1.offset).unwrap();
        bytes
    }
}

/// Says what has happened.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, answered, open, failed } = self;
        write!(f, "{events} times, {open} requests not answered then; {answered} answered in all, {failed} in vain")
    }
}

/// Serves a disk in each case.
fn run(what: &str, work: impl Fn(u64, &TempFile, &Path)) {
    for (features, direct) in CASES {
        let file = TempFile::new(&pattern(DEPTH * BLOCK));
        let open = || FileStorage::open(file.path()).unwrap();
        // Not all file systems can pass the page cache by.
        let past = if direct { open().past_the_page_cache().ok() } else { None };
        println!("{what}, features {features:#x}, past the page cache: {}", past.is_some());
        serve(past.unwrap_or_else(open), |socket| work(features, &file, socket));
    }
}

#[test]
fn ring_is_stopped_with_requests_in_flight_and_nothing_is_lost() {
    run("stops", |features, file, socket| {
        let mut load = Load::new(features, file.bytes());
        let mut front_end = load.guest.connect(socket);
        load.guest.start(&mut front_end, load.guest.new_base());
        for _ in 0..times() {
            load.fill();
            let base = front_end.stop_ring(0).unwrap();
            let payloads = load.payload_bytes();
            load.look(false);
            load.happened();
            let bytes = load.guest.mem.bytes();
            load.wait_for_a_random_time();
            assert!(load.is_alone_since(&payloads, &bytes), "something was written after a stop");
            load.guest.start(&mut front_end, base);
        }
        load.finish();
        println!("{}", load.counts);
        assert!(file.bytes() == load.disk);
    });
}

/// Once the reset is answered, nothing of the guest is written any more. What was not answered was done, or was not.
#[test]
fn device_is_reset_with_requests_in_flight_and_leaves_the_memory_alone() {
    run("resets", |features, file, socket| {
        let mut left: Option<(Load, [Vec<u8>; 2])> = None;
        let mut disk = file.bytes();
        let mut counts = Counts::default();
        for round in 0..times() {
            let mut load = Load::new(features, disk);
            load.rng = SmallRng::seed_from_u64(round as u64);
            load.counts = counts;
            let mut front_end = load.guest.connect(socket);
            load.guest.start(&mut front_end, load.guest.new_base());
            load.fill();
            assert_eq!(front_end.set(RESET_DEVICE, &[]), Answer::Yes);
            let (payloads, stored) = (load.payload_bytes(), file.bytes());
            load.look(false);
            load.happened();
            let bytes = load.guest.mem.bytes();
            for request in load.requests.values() {
                let place = request.block * BLOCK..(request.block + 1) * BLOCK;
                if request.written.as_ref().is_some_and(|bytes| stored[place.clone()] == **bytes) {
                    load.disk[place.clone()].copy_from_slice(&stored[place]);
                }
            }
            assert!(stored == load.disk, "something is on the disk that nobody has written");
            if let Some((before, [payloads, bytes])) = left.take() {
                assert!(before.is_alone_since(&payloads, &bytes), "something was written after a reset");
            }
            (disk, counts) = (load.disk.clone(), mem::take(&mut load.counts));
            left = Some((load, [payloads, bytes]));
        }
        println!("{counts}");
    });
}

/// Takes the payloads away, and returns when the back end has agreed to that.
fn take_away(front_end: &mut FrontEnd, load: &Load, by_table: bool) {
    let (others, payloads) = load.regions();
    if by_table {
        let files = [load.guest.mem.file().as_fd(); 2];
        assert_eq!(front_end.set_memory(&others, &files), Answer::Yes);
    } else {
        assert_eq!(front_end.remove_memory(payloads), Answer::Yes);
    }
}

/// What the front end has back, it has to itself. What was available and not fetched by then fails, and so is answered.
#[test]
fn memory_is_taken_away_with_requests_in_flight_and_left_alone() {
    run("changes of the memory", |features, file, socket| {
        let mut load = Load::new(features, file.bytes());
        let ([before, after], payloads) = load.regions();
        let mut front_end = load.guest.connect_with(socket, &[before, after, payloads]);
        load.guest.start(&mut front_end, load.guest.new_base());
        for round in 0..times() {
            load.fill();
            take_away(&mut front_end, &load, round % 2 == 0);
            // Before the driver can make use of them.
            load.look(true);
            load.happened();
            load.guest.mem.file().write_all_at(&vec![MARK; DEPTH * BLOCK], payloads.offset).unwrap();
            // The back end has had time to do something wrong when it has answered a read into other memory.
            let read = DriverChain::new().readable(header(IN, 0)).writable(SECTOR as u32).writable(1);
            let id = load.guest.add(&read).unwrap();
            load.guest.kick();
            let mut answered = false;
            while !answered || !load.requests.is_empty() {
                for used in load.guest.wait() {
                    let expected = if used.id == id { OK } else { IOERR };
                    assert_eq!(used.writable().last(), Some(&expected));
                    if used.id == id { answered = true } else { load.check(&used, true) }
                }
            }
            assert!(load.payload_bytes().iter().all(|byte| *byte == MARK), "memory was written that was taken away");
            assert_eq!(front_end.add_memory(payloads, load.guest.mem.file()), Answer::Yes);
        }
        load.finish();
        println!("{}", load.counts);
        assert!(file.bytes() == load.disk);
    });
}

/// What the requests use is there all the time.
#[test]
fn memory_changes_elsewhere_with_requests_in_flight_and_nothing_is_lost() {
    const ELSEWHERE: DriverAddr = DriverAddr(1 << 32);
    run("changes of other memory", |features, file, socket| {
        let mut load = Load::new(features, file.bytes());
        let mut front_end = load.guest.connect(socket);
        load.guest.start(&mut front_end, load.guest.new_base());
        let all = load.guest.region();
        let more = Region { guest: ELSEWHERE.0, user: all.user + ELSEWHERE.0, ..all };
        let file_of_memory = load.guest.mem.file().try_clone().unwrap();
        let files = [file_of_memory.as_fd(); 2];
        for round in 0..times() {
            load.fill();
            let answer = match round % 4 {
                0 => front_end.add_memory(more, &file_of_memory),
                1 => front_end.remove_memory(more),
                2 => front_end.set_memory(&[all, more], &files),
                _ => front_end.set_memory(&[all], &files[..1]),
            };
            assert_eq!(answer, Answer::Yes);
            load.look(false);
            load.happened();
        }
        load.finish();
        println!("{}", load.counts);
        assert_eq!(load.counts.failed, 0);
        assert!(file.bytes() == load.disk);
    });
}
