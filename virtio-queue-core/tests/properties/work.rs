//! The most work that a hostile driver can cause with each operation, in accesses and translations.
//!
//! The numbers are exact: a driver that maximises work reaches them, so that a change that only costs time is seen.

use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::features::{EVENT_IDX, IN_ORDER, INDIRECT_DESC, RING_PACKED, VERSION_1};
use virtio_queue_core::{
    Access, AnyRing, ChainError, DriverAddr, FatalError, Gathered, Head, Queue, QueueConfig, Record, Restorable,
    RingFeatures, SavedQueue, Token,
};
use virtio_util::NotificationCounter;

use crate::memory::{Mem, Watched};
use crate::ring::{InOrder, Make, Recorded};

/// The queue size, and the largest number of elements of a chain.
const N: u64 = 8;
const L: u64 = 4;

const RING: u64 = 0;
const DRIVER: u64 = 0x100;
const DEVICE: u64 = 0x200;
const TABLE: u64 = 0x400;
const DATA: u64 = 0x800;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const AVAIL: u16 = 1 << 7;

/// What a hostile driver has made available.
#[derive(Clone, Copy)]
enum Offer {
    Nothing,
    /// As many chains as there is room for. Each is an indirect table as long as the limit, or without an end.
    Tables,
    /// One list as long as the ring, or one chain that is a loop.
    Longest,
    /// As many chains of one writable element as there is room for.
    Packets,
    /// More than there is room for, or a list without an end.
    TooMuch,
}

struct Rig<R: Make> {
    mem: Mem,
    config: QueueConfig,
    queue: Queue<R, Arc<NotificationCounter>>,
    tokens: Vec<Token>,
}

fn config(packed: bool, features: u64) -> QueueConfig {
    let format = if packed { RING_PACKED } else { 0 };
    let features = RingFeatures::from_negotiated(VERSION_1 | INDIRECT_DESC | EVENT_IDX | format | features).unwrap();
    let [ring, driver, device] = [RING, DRIVER, DEVICE].map(DriverAddr);
    let mut config = QueueConfig::new(N as u16, features, ring, driver, device);
    config.limits.chain_len = Some(L as u32);
    config
}

impl<R: Make> Rig<R> {
    /// A queue whose memory wants reports, so that each access is counted.
    fn new(packed: bool, offer: Offer) -> Self {
        Self::with(packed, offer, 0, true)
    }

    fn with(packed: bool, offer: Offer, features: u64, reports: bool) -> Self {
        let mem = Watched::new(0, 0x1000, reports);
        write_offer(&mem, packed, offer);
        let config = config(packed, features);
        let ring = R::make(&config, Rc::clone(&mem));
        let queue = Queue::from_ring(ring, Arc::new(NotificationCounter::new())).unwrap();
        Self { mem, config, queue, tokens: Vec::new() }
    }

    /// Fetches everything, and finds that there is no more.
    fn fetch_all(mut self) -> Self {
        while let Some(chain) = self.queue.next_chain().unwrap() {
            self.tokens.push(chain.into_token());
        }
        self
    }

    /// Does an operation, and returns its work.
    fn work<T>(&mut self, operation: impl FnOnce(&mut Self) -> T) -> u64 {
        let before = self.mem.work();
        let _ = operation(self);
        self.mem.work() - before
    }

    /// Returns all chains, and publishes them together.
    fn complete_all(&mut self, backwards: bool) {
        if backwards {
            self.tokens.reverse();
        }
        let mut burst = self.queue.burst();
        self.tokens.drain(..).for_each(|token| burst.complete(token, 1).unwrap());
    }

    /// Puts back what a burst has fetched.
    fn unfetch_in_burst(&mut self) {
        let token = self.tokens.remove(0);
        let mut burst = self.queue.burst();
        burst.unfetch(token).unwrap();
        burst.finish().unwrap();
    }

    /// Publishes one chain, and then nothing.
    fn flush_twice(&mut self) {
        let token = self.tokens.remove(0);
        let mut burst = self.queue.burst();
        burst.complete(token, 1).unwrap();
        burst.flush().unwrap();
        burst.flush().unwrap();
    }

    fn into_mem_and_queue(self) -> (Mem, Queue<R, Arc<NotificationCounter>>) {
        (self.mem, self.queue)
    }

    fn walk(&mut self) {
        let chain = self.queue.next_chain().unwrap().unwrap();
        self.mem.reset_work();
        let _ = chain.walk().count();
        let _ = chain.into_token();
    }
}

fn descriptor(addr: u64, len: u32, first: u16, second: u16) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&addr.to_le_bytes());
    bytes[8..12].copy_from_slice(&len.to_le_bytes());
    bytes[12..14].copy_from_slice(&first.to_le_bytes());
    bytes[14..].copy_from_slice(&second.to_le_bytes());
    bytes
}

fn write_offer(mem: &Watched, packed: bool, offer: Offer) {
    // A table as long as the limit allows, in which each entry leads to the next, and the last one to the first.
    for entry in 0..L {
        let flags = NEXT | WRITE;
        let [first, second] = if packed { [0, flags] } else { [flags, ((entry + 1) % L) as u16] };
        mem.poke(TABLE + 16 * entry, &descriptor(DATA, 1, first, second));
    }
    let count = match offer {
        Offer::Nothing => return,
        Offer::Longest if !packed => 1,
        Offer::TooMuch => N + 1,
        _ => N,
    };
    for slot in 0..N {
        let last = slot == N - 1;
        let (addr, len, flags) = match offer {
            Offer::Tables => (TABLE, 16 * L as u32, INDIRECT),
            Offer::Packets => (DATA, 1, WRITE),
            Offer::Longest if packed && last => (DATA, 1, WRITE),
            _ => (DATA, 1, NEXT | WRITE),
        };
        let next = ((slot + 1) % N) as u16;
        let [first, second] = if packed { [slot as u16, flags | AVAIL] } else { [flags, next] };
        mem.poke(RING + 16 * slot, &descriptor(addr, len, first, second));
        if !packed {
            mem.poke(DRIVER + 4 + 2 * slot, &(slot as u16).to_le_bytes());
        }
    }
    if !packed {
        mem.poke(DRIVER + 2, &(count as u16).to_le_bytes());
    }
}

type Any = AnyRing<Mem>;

fn gather(rig: &mut Rig<Any>, limit: usize) -> Result<usize, FatalError> {
    let mem = Rc::clone(&rig.mem);
    rig.queue.gather(limit, &*mem, Access::Write, &mut Gathered::<16>::new())
}

/// Returns the work of each operation with one format.
fn measure(packed: bool) -> Vec<(&'static str, u64)> {
    let rig = |offer| Rig::<Any>::new(packed, offer);
    let all = |offer| rig(offer).fetch_all();
    let serve = |limit: usize| {
        rig(Offer::Tables).work(|rig| {
            let mem = Rc::clone(&rig.mem);
            rig.queue.serve(limit, &*mem, 0, |count, _| Ok::<_, ChainError>(count + 1), |_| 0)
        })
    };
    let unreported = |operation: fn(&mut Rig<Any>)| {
        let mut rig = Rig::<Any>::with(packed, Offer::Packets, 0, false);
        rig.work(operation)
    };
    let walk = |offer| {
        let mut rig = rig(offer);
        rig.walk();
        rig.mem.work()
    };
    vec![
        ("make a queue", rig(Offer::Nothing).mem.work()),
        ("fetch nothing", rig(Offer::Nothing).work(|rig| rig.queue.next_chain().map(drop))),
        ("fetch nothing after chains", {
            let mut rig = rig(Offer::Packets);
            (0..N).for_each(|_| rig.tokens.push(rig.queue.next_chain().unwrap().unwrap().into_token()));
            rig.work(|rig| rig.queue.next_chain().map(drop))
        }),
        (
            "fetch the longest",
            rig(Offer::Longest).work(|rig| rig.queue.next_chain().map(|chain| chain.map(|chain| chain.into_token()))),
        ),
        ("fetch too much", rig(Offer::TooMuch).work(|rig| rig.queue.next_chain().map(drop))),
        ("walk the longest", walk(Offer::Longest)),
        ("walk a table", walk(Offer::Tables)),
        ("serve one", serve(1)),
        ("serve three", serve(3)),
        ("serve without a limit", serve(usize::MAX)),
        ("gather with reports", rig(Offer::Packets).work(|rig| gather(rig, 9))),
        (
            "gather three",
            unreported(|rig| {
                let _ = gather(rig, 3);
            }),
        ),
        (
            "gather without a limit",
            unreported(|rig| {
                let _ = gather(rig, usize::MAX);
            }),
        ),
        ("complete all that were gathered", {
            let mut rig = Rig::<Any>::with(packed, Offer::Packets, 0, false);
            let (mem, mut chains) = (Rc::clone(&rig.mem), Gathered::<16>::new());
            rig.queue.gather(usize::MAX, &*mem, Access::Write, &mut chains).unwrap();
            rig.work(|rig| rig.queue.complete_gathered(&mut chains, |_| Some(1)))
        }),
        ("complete", all(Offer::Tables).work(|rig| rig.queue.complete(rig.tokens.remove(3), 1))),
        ("complete all", all(Offer::Tables).work(|rig| rig.complete_all(false))),
        ("put back the longest", all(Offer::Longest).work(|rig| rig.queue.unfetch(rig.tokens.remove(0)))),
        ("put back the longest, in a burst", all(Offer::Longest).work(Rig::unfetch_in_burst)),
        ("flush a burst", all(Offer::Tables).work(Rig::flush_twice)),
        ("suppress", all(Offer::Tables).work(|rig| rig.queue.suppress_notifications())),
        ("enable", all(Offer::Tables).work(|rig| rig.queue.enable_notifications())),
        ("enable for more", rig(Offer::Tables).work(|rig| rig.queue.enable_notifications_of_more())),
        ("save", all(Offer::Tables).work(|rig| rig.queue.save())),
        ("replace the memory", all(Offer::Tables).work(|rig| rig.queue.replace_mem(Rc::clone(&rig.mem)))),
        ("suspend", {
            let (mem, queue) = rig(Offer::Tables).into_mem_and_queue();
            mem.counted(|| queue.drain().suspend().is_ok()).1
        }),
        ("drain, complete all and suspend", {
            let mut rig = all(Offer::Tables);
            let tokens = core::mem::take(&mut rig.tokens);
            let (mem, queue) = rig.into_mem_and_queue();
            mem.counted(|| {
                let mut draining = queue.drain();
                tokens.into_iter().for_each(|token| draining.complete(token, 1).unwrap());
                draining.suspend().is_ok()
            })
            .1
        }),
        ("resume", {
            let (mem, queue) = rig(Offer::Tables).into_mem_and_queue();
            let suspended = queue.drain().suspend().unwrap();
            mem.counted(|| suspended.resume().map(drop)).1
        }),
        ("restore a queue", {
            let rig = rig(Offer::Tables);
            let (saved, ring) = (rig.queue.save(), Any::make(&rig.config, Rc::clone(&rig.mem)));
            rig.mem.counted(|| Queue::restore(ring, Arc::new(NotificationCounter::new()), &saved).map(drop)).1
        }),
        ("restore", restore(packed, None)),
        ("restore a base", restore(packed, Some(0))),
        ("adopt", all(Offer::Longest).work(|rig| rig.queue.adopt(Head::new(0, 0, 1)))),
        (
            "fetch the longest and record it",
            Rig::<Recorded<Any>>::new(packed, Offer::Longest)
                .work(|rig| rig.queue.next_chain().map(|chain| chain.map(|chain| chain.into_token()))),
        ),
        ("return all in order", in_order(packed)),
        ("read what was stored", {
            let rig = all(Offer::Longest);
            let ring = Any::make(&rig.config, Rc::clone(&rig.mem));
            rig.mem.counted(|| ring.stored(Head::new(0, if packed { 1 << 15 } else { 0 }, N as u16)).count()).1
        }),
        ("reset", {
            let mut rig = all(Offer::Tables);
            let (queue, tokens) = (rig.queue, core::mem::take(&mut rig.tokens));
            rig.mem
                .counted(|| {
                    let mut resetting = queue.reset();
                    tokens.into_iter().for_each(|token| resetting.discard(token).unwrap());
                    resetting.finish().is_ok()
                })
                .1
        }),
    ]
}

/// Goes on where nothing was done, from saved positions or from what a front end of vhost-user knows.
fn restore(packed: bool, base: Option<u32>) -> u64 {
    let rig = Rig::<Any>::new(packed, Offer::Tables);
    let features = rig.config.features;
    let saved = base.map_or_else(|| rig.queue.save(), |base| SavedQueue::from_vring_base(base, features).unwrap());
    let ring = Any::make(&rig.config, Rc::clone(&rig.mem));
    rig.mem.counted(|| ring.restore(&saved).unwrap()).1
}

/// Returns all chains in an order in which all are published at the end, with walks that find that none can be skipped.
fn in_order(packed: bool) -> u64 {
    let mut rig = Rig::<InOrder<Any>>::with(packed, Offer::Tables, IN_ORDER, true).fetch_all();
    rig.work(|rig| rig.complete_all(true))
}

/// The steps along a chain that is too long: its elements, and the first one above the limit.
const DIRECT: u64 = L + 1;
/// As above, with the descriptor of a table and its translation. The number of entries of a packed table is known.
const SPLIT_TABLE: u64 = DIRECT + 2;
const PACKED_TABLE: u64 = L + 2;
/// To serve a chain: its walk, a translation of each element, and its entry and used element. In a packed ring, the
/// first descriptor is read twice: as the entry, and as a part of the walk.
const SPLIT_CHAIN: u64 = SPLIT_TABLE + L + 2;
const PACKED_CHAIN: u64 = PACKED_TABLE + L + 2;
/// To find that there is nothing, to ask for a kick, and to look again.
const NOTHING: u64 = 3;

/// The most work of each operation, with a split and with a packed ring.
const MOST: [(&str, u64, u64); 35] = [
    ("make a queue", 3 + 2, 3 + 1),
    ("fetch nothing", 1, 1),
    ("fetch nothing after chains", NOTHING, NOTHING),
    ("fetch the longest", 2, N),
    ("fetch too much", 1, N),
    ("walk the longest", DIRECT, DIRECT),
    ("walk a table", SPLIT_TABLE, PACKED_TABLE),
    ("serve one", 1 + SPLIT_CHAIN + 2, PACKED_CHAIN + 1),
    ("serve three", 1 + 3 * SPLIT_CHAIN + 2, 3 * PACKED_CHAIN + 1),
    ("serve without a limit", 1 + N * SPLIT_CHAIN + NOTHING + 2, N * PACKED_CHAIN + NOTHING + 1),
    ("gather with reports", 1, 0),
    ("gather three", 3, 3),
    ("gather without a limit", N, N),
    // Without reports, only translations are counted.
    ("complete all that were gathered", 0, 0),
    ("complete", 1 + 2, 1 + 1),
    ("complete all", N + 2, N + 1),
    ("put back the longest", 1, N),
    ("put back the longest, in a burst", 1, N),
    ("flush a burst", 1 + 2, 1 + 1),
    ("suppress", 0, 1),
    ("enable", 2, 2),
    ("enable for more", 2, 2),
    ("save", 0, 0),
    ("replace the memory", 3, 3),
    ("suspend", 0, 0),
    ("drain, complete all and suspend", N * (1 + 2), N * (1 + 1)),
    ("resume", 2, 2),
    ("restore a queue", 2, 2),
    ("restore", 0, 0),
    ("restore a base", 2, N),
    ("adopt", 0, 0),
    ("fetch the longest and record it", 2, 2 * N),
    // The last chain of a batch is not walked.
    ("return all in order", (N - 1) * SPLIT_TABLE + N + 2, (N - 1) * PACKED_TABLE + N + 1),
    ("read what was stored", 0, N),
    ("reset", 0, 0),
];

/// INV-2, INV-3, INV-9, HOST-3, HOST-8, HOST-14: for each operation, the most accesses and translations that a driver
/// can cause.
#[test]
fn work_of_each_operation_is_bounded() {
    let expected = |packed| MOST.map(|(operation, split, other)| (operation, if packed { other } else { split }));
    for packed in [false, true] {
        for (measured, expected) in measure(packed).into_iter().zip(expected(packed)) {
            assert_eq!(measured, expected, "packed: {packed}");
        }
        assert_eq!(measure(packed).len(), MOST.len());
    }
}
