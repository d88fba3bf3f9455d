//! Buffers used in order, on rings of either format: what is held back, what is put together, and what a driver makes of it.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::features::{EVENT_IDX, IN_ORDER, INDIRECT_DESC, RING_PACKED};
use virtio_fake_driver::packed::{EventSuppression, RawPacked};
use virtio_fake_driver::split::{RawSplit, UsedElement};
use virtio_fake_driver::{Any, Driver, DriverChain, DriverOptions, MemEvent, Packed, QueueFormat, Split, TestMem};
use virtio_mem_traits::{DriverAddr, HeapMem};
use virtio_queue_core::packed::PackedRing;
use virtio_queue_core::{
    AnyQueue, Armed, ConfigError, DriverNotify, FatalError, FromConfig, InFlight, InOrderRing, Lasting, OrderStorage,
    OrderedRing, PackedQueue, Queue, QueueLimits, ReturnError, Ring, RingFeatures, SplitQueue, Token,
};
use virtio_util::NotificationCounter;

use crate::packed_support::{self, Hand, fetch};
use crate::support::{self, SPACE, logged, reply, serve};

/// Room for eight, and for any number.
type Few = [InFlight; 8];
type Many = Vec<InFlight>;

type Mem = Rc<TestMem>;

/// A queue that keeps the order, and its driver.
struct Rig<F: QueueFormat, S: OrderStorage> {
    queue: Queue<InOrderRing<F::Ring<Mem>, S>, Arc<NotificationCounter>>,
    driver: Driver<F>,
    mem: Mem,
    notifications: Arc<NotificationCounter>,
}

impl<F: QueueFormat, S: OrderStorage> Rig<F, S> {
    fn new(size: u16, features: u64) -> Self {
        let heap = Arc::new(HeapMem::new(DriverAddr(0x1000_0000), 1 << 18).unwrap());
        let options = DriverOptions { features: features | IN_ORDER, scramble: Some(2), ..Default::default() };
        let driver = Driver::<F>::new(Arc::clone(&heap), size, options);
        let (mem, notifications) = (Rc::new(TestMem::new(heap)), Arc::new(NotificationCounter::new()));
        let config = driver.queue_config(QueueLimits::default());
        let queue = Queue::new(&config, Rc::clone(&mem), Arc::clone(&notifications)).unwrap();
        Self { queue, driver, mem, notifications }
    }

    /// Makes chains available at once, and fetches them.
    fn fetch(&mut self, chains: &[DriverChain]) -> Vec<Option<Token>> {
        chains.iter().for_each(|chain| _ = self.driver.stage(chain).unwrap());
        self.driver.publish();
        chains.iter().map(|_| Some(fetch(&mut self.queue))).collect()
    }

    /// What the driver takes back: how much was written into each buffer, by the place it was made available in.
    fn reap(&mut self) -> Vec<u32> {
        self.driver.reap_all().unwrap().iter().map(|used| used.len).collect()
    }
}

/// Runs a check with each format and each kind of storage.
macro_rules! for_each_ring {
    ($check:ident($($features:expr),*)) => {
        $(
            $check::<Split, Few>($features);
            $check::<Split, Many>($features);
            $check::<Packed, Few>($features);
            $check::<Packed, Many>($features);
            $check::<Any, Few>($features);
            $check::<Any, Many>($features | RING_PACKED);
        )*
    };
}

/// A chain with room for so many bytes, in two elements, behind a readable one.
fn chain(len: u32) -> DriverChain {
    DriverChain::new().readable(b"?").writable_cut(len, &[len / 2])
}

fn permutations(of: &[usize]) -> Vec<Vec<usize>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for first in of {
        let rest: Vec<_> = of.iter().copied().filter(|other| other != first).collect();
        all.extend(permutations(&rest).into_iter().map(|tail| [&[*first], &tail[..]].concat()));
    }
    all
}

fn check_every_order<F: QueueFormat, S: OrderStorage>(features: u64) {
    let lens = [3, 0, 1, 8];
    let chains = [chain(3), DriverChain::new().readable(b"??"), chain(1), DriverChain::new().writable(8)];
    let mut rig = Rig::<F, S>::new(8, features);
    for order in permutations(&[0, 1, 2, 3]) {
        let ids: Vec<u16> = chains.iter().map(|chain| rig.driver.add(chain).unwrap()).collect();
        let mut tokens: Vec<_> = chains.iter().map(|_| Some(fetch(&mut rig.queue))).collect();
        let (mut done, mut reaped) = ([false; 4], 0);
        for at in &order {
            let before = rig.driver.in_flight();
            let token = tokens[*at].take().unwrap();
            assert_eq!(token.id(), ids[*at]);
            let (completed, log) = logged(&rig.mem, || rig.queue.complete(token, lens[*at]));
            completed.unwrap();
            done[*at] = true;
            if !done[reaped] {
                assert_eq!((log, rig.driver.in_flight()), (vec![], before), "{order:?}: {at} is held back");
            }
            while let Some(used) = rig.driver.reap().unwrap() {
                assert_eq!((used.id, used.len), (ids[reaped], lens[reaped]), "{order:?}");
                reaped += 1;
            }
            assert_eq!(reaped, done.iter().take_while(|done| **done).count(), "{order:?}");
        }
        assert_eq!((rig.queue.in_flight(), rig.driver.in_flight()), (0, 0));
    }
}

/// SPLIT-ORD-1, PACK-INO-1, FEAT-14: in whatever order chains are returned, they are used in the order in which they were made
/// available. One that is before its turn is held back, and nothing at all is accessed for it.
#[test]
fn chains_returned_in_any_order_used_in_order() {
    for_each_ring!(check_every_order(0, EVENT_IDX, INDIRECT_DESC));
}

fn split_rig(features: u64) -> (Rig<Split, Few>, RawSplit) {
    let rig = Rig::<Split, Few>::new(8, features);
    let raw = rig.driver.raw().clone();
    (rig, raw)
}

fn packed_rig(size: u16, features: u64) -> (Rig<Packed, Few>, RawPacked) {
    let rig = Rig::<Packed, Few>::new(size, features);
    let raw = rig.driver.raw().clone();
    (rig, raw)
}

fn writes(log: Vec<MemEvent>) -> Vec<MemEvent> {
    log.into_iter().filter(|event| matches!(event, MemEvent::Written(_))).collect()
}

/// SPLIT-ORD-2, SPLIT-ORD-3, SPLIT-ORD-4, SPLIT-ORD-6: a batch is one element, in the slot of its first buffer, with the id and
/// the length of its last; the skipped slots are not written, and the next batch begins after them.
#[test]
fn split_batch_is_one_element() {
    for (start_at, batch) in (0..9).flat_map(|start_at| (2..=8).map(move |batch| (start_at, batch))) {
        let (mut rig, raw) = split_rig(0);
        let areas = *raw.areas();
        for _ in 0..start_at {
            let token = rig.fetch(&[DriverChain::new().writable(1)]).remove(0).unwrap();
            rig.queue.complete(token, 1).unwrap();
            rig.reap();
        }
        raw.view().poke(areas.used_element(0).start(), &[0xee; 64]);
        let chains: Vec<_> = (0..batch).map(|n| DriverChain::new().writable(10 + n)).collect();
        let ids: Vec<u16> = chains.iter().map(|chain| rig.driver.add(chain).unwrap()).collect();
        let mut tokens: Vec<_> = chains.iter().map(|_| fetch(&mut rig.queue)).collect();
        let first = tokens.remove(0);
        let (_, log) = logged(&rig.mem, || {
            tokens.into_iter().zip(11..).for_each(|(token, len)| rig.queue.complete(token, len).unwrap());
        });
        assert_eq!(log, []);
        let (_, log) = logged(&rig.mem, || rig.queue.complete(first, 10).unwrap());
        let slot = start_at % 8;
        assert_eq!(writes(log), [areas.used_element(slot), areas.used_index()].map(MemEvent::Written));
        assert_eq!(raw.used_index(), start_at + batch as u16);
        for other in 0..8 {
            let expected = match other == slot {
                true => UsedElement { id: ids[batch as usize - 1].into(), len: 9 + batch },
                false => UsedElement { id: 0xeeee_eeee, len: 0xeeee_eeee },
            };
            assert_eq!(raw.used_element(other), expected);
        }
        assert_eq!(rig.reap(), (10..10 + batch).collect::<Vec<_>>());
        let id = rig.driver.add(&DriverChain::new().writable(5)).unwrap();
        let token = fetch(&mut rig.queue);
        rig.queue.complete(token, 2).unwrap();
        assert_eq!(raw.used_element((slot + batch as u16) % 8), UsedElement { id: id.into(), len: 2 });
    }
}

/// PACK-INO-2, PACK-INO-4, AMB-14, PACK-WRAP-4, AMB-12: a batch is one used descriptor, in the slot of its first list, with id,
/// length and WRITE of its last; all slots of all its lists are skipped, not written, and the wrap counter flips where they
/// pass the end.
#[test]
fn packed_batch_is_one_descriptor() {
    for start_at in 0..14_u32 {
        for (lens, last) in [([3_u32, 1, 2], 6), ([1, 1, 1], 0), ([2, 2, 3], 6), ([5, 1, 1], 0)] {
            let (mut rig, raw) = packed_rig(7, 0);
            let hand = Hand::new(raw.clone());
            for _ in 0..start_at {
                let token = rig.fetch(&[DriverChain::new().writable(1)]).remove(0).unwrap();
                rig.queue.complete(token, 1).unwrap();
                rig.reap();
            }
            let list = |len: u32| (1..len).fold(DriverChain::new().writable(1), |chain, _| chain.writable(1));
            let [first, second, _] = lens;
            let third = DriverChain::new().writable_cut(last, &vec![last / lens[2]; lens[2] as usize - 1]);
            let third = if last == 0 { DriverChain::new().readable(b"!") } else { third };
            let ids = [list(first), list(second), third].map(|chain| rig.driver.add(&chain).unwrap());
            let before: Vec<_> = (0..7).map(|slot| raw.descriptor(slot)).collect();
            let [a, b, c] = [(); 3].map(|()| fetch(&mut rig.queue));
            rig.queue.complete(c, last).unwrap();
            rig.queue.complete(b, second).unwrap();
            let (_, log) = logged(&rig.mem, || rig.queue.complete(a, first).unwrap());
            let (areas, (slot, _)) = (raw.areas(), hand.place(start_at));
            let written = [areas.len(slot), areas.id(slot), areas.flags(slot)].map(MemEvent::Written);
            assert_eq!(writes(log), written);
            hand.check_used(start_at, ids[2], last);
            for other in (0..7).filter(|other| *other != slot) {
                assert_eq!(raw.descriptor(other), before[usize::from(other)]);
            }
            assert_eq!(rig.reap(), [first, second, last]);
            // The next one is where the lists end.
            let id = rig.driver.add(&list(1)).unwrap();
            let token = fetch(&mut rig.queue);
            rig.queue.complete(token, 1).unwrap();
            hand.check_used(start_at + first + second + if last == 0 { 1 } else { lens[2] }, id, 1);
        }
    }
}

/// Of four chains that are returned together, those in `partial` are not filled. Returns how many reports there are.
fn check_partial<F: QueueFormat, S: OrderStorage>(features: u64, partial: u32, in_burst: bool) -> (Vec<u32>, usize) {
    let mut rig = Rig::<F, S>::new(16, features);
    let lens = [6, 5, 4, 3_u32];
    let mut tokens = rig.fetch(&lens.map(|len| DriverChain::new().readable(b"?").writable_cut(len, &[1])));
    let written: Vec<u32> = (0..).zip(lens).map(|(n, len)| len - (partial >> n & 1)).collect();
    // The first comes last, so that all are published at once in either case.
    rig.mem.start_log();
    if in_burst {
        let mut burst = rig.queue.burst();
        for at in [1, 3, 2, 0] {
            burst.complete(tokens[at].take().unwrap(), written[at]).unwrap();
        }
        assert_eq!(writes(rig.mem.take_log()), []);
        burst.finish().unwrap();
    } else {
        for at in [1, 3, 2, 0] {
            rig.queue.complete(tokens[at].take().unwrap(), written[at]).unwrap();
        }
    }
    let reports = writes(rig.mem.take_log()).len();
    assert_eq!(rig.notifications.take(), 1);
    assert_eq!(rig.reap(), written, "{partial:#b}");
    (written, reports)
}

/// SPLIT-ORD-5, PACK-INO-3, AMB-14, USER-1, SPLIT-UNOT-7: a buffer that was not filled is the last of its batch, whichever of
/// the four are. All batches are published at once, with one notification.
#[test]
fn buffer_not_filled_ends_its_batch() {
    for in_burst in [false, true] {
        for partial in 0..16_u32 {
            // Whether the last one was filled does not matter: it ends its batch in any case.
            let batches = 1 + (partial & 7).count_ones() as usize;
            let (_, writes) = check_partial::<Split, Few16>(0, partial, in_burst);
            assert_eq!(writes, batches + 1, "an element for each batch, and one index: {partial:#b}");
            let (_, writes) = check_partial::<Any, Many>(0, partial, in_burst);
            assert_eq!(writes, batches + 1);
            let (_, writes) = check_partial::<Packed, Few16>(EVENT_IDX, partial, in_burst);
            assert_eq!(writes, 3 * batches, "length, id and flags for each batch: {partial:#b}");
            let (_, writes) = check_partial::<Any, Many>(RING_PACKED, partial, in_burst);
            assert_eq!(writes, 3 * batches);
        }
    }
}

/// Room for more than eight.
type Few16 = [InFlight; 16];

/// PACK-MB-1: of several batches that are published together, the flags of the first come last; of a split ring, the index.
#[test]
fn batches_published_together_become_visible_together() {
    let (mut rig, raw) = packed_rig(8, 0);
    let hand = Hand::new(raw.clone());
    let mut tokens = rig.fetch(&[(); 4].map(|()| DriverChain::new().writable(2)));
    for at in [1, 2, 3, 0] {
        // None is filled: each is a batch.
        rig.mem.start_log();
        rig.queue.complete(tokens[at].take().unwrap(), 1).unwrap();
    }
    let flags = |slot| raw.areas().flags(slot);
    let log = rig.mem.take_log();
    let order: Vec<_> =
        (0..4).filter_map(|slot| log.iter().position(|e| *e == MemEvent::Written(flags(slot)))).collect();
    assert!(order[0] > order[1] && order[0] > order[2] && order[0] > order[3], "{order:?}");
    (0..4).for_each(|position| assert_eq!(hand.used_at(position).map(|used| used.len), Some(1)));
}

fn check_not_filled<F: QueueFormat, S: OrderStorage>(features: u64) {
    // Readable alone: there is nothing to fill. A writable element without bytes: neither.
    for (skipped, batches) in [
        (DriverChain::new().readable(b"no room"), 1),
        (DriverChain::new().readable(b"no room").writable(0), 1),
        (DriverChain::new().writable(1), 2),
    ] {
        let mut rig = Rig::<F, S>::new(8, features);
        let mut tokens = rig.fetch(&[skipped, DriverChain::new().writable(9)]);
        rig.queue.complete(tokens[1].take().unwrap(), 9).unwrap();
        rig.mem.start_log();
        rig.queue.complete(tokens[0].take().unwrap(), 0).unwrap();
        let packed = rig.driver.features() & RING_PACKED != 0;
        let expected = if packed { 3 * batches } else { batches + 1 };
        assert_eq!(writes(rig.mem.take_log()).len(), expected);
        assert_eq!(rig.reap(), [0, 9]);
    }
}

/// SPLIT-ORD-5, PACK-INO-3: a buffer without anything to be written is filled, and one that was returned empty is not.
#[test]
fn buffer_without_writable_bytes_is_filled() {
    for_each_ring!(check_not_filled(0, EVENT_IDX));
}

/// SPLIT-ORD-5, HOST-29: a malformed chain is never skipped, as nobody knows how much of it there was to fill.
#[test]
fn malformed_chain_ends_its_batch() {
    let (mut rig, raw) = split_rig(0);
    support::write_direct(&raw, &[support::linked(support::writable(SPACE, 4), 9), support::writable(SPACE, 4)]);
    support::offer(&raw, &[0, 1]);
    let tokens = [(); 2].map(|()| fetch(&mut rig.queue));
    let [malformed, good] = tokens;
    rig.queue.complete(good, 4).unwrap();
    rig.queue.complete(malformed, 4).unwrap();
    assert_eq!(support::used_since(&raw, 0), [support::used(0, 4), support::used(1, 4)]);
}

fn check_one_by_one<F: QueueFormat, S: OrderStorage>(features: u64) {
    let mut rig = Rig::<F, S>::new(8, features);
    for _ in 0..30 {
        let mut tokens = rig.fetch(&[chain(2), chain(3)]);
        for (token, len) in tokens.iter_mut().zip([2, 3]) {
            let ((), log) = logged(&rig.mem, || rig.queue.complete(token.take().unwrap(), len).unwrap());
            let walks = log.iter().any(|event| matches!(event, MemEvent::Read(range) if range.len() == 16));
            assert!(!walks, "nobody has to know whether it was filled");
            let used = rig.driver.reap().unwrap().unwrap();
            assert_eq!(used.len, len);
            assert_eq!(rig.driver.reap(), Ok(None));
        }
    }
}

/// SPLIT-ORD-7, PACK-INO-1: a device that returns chains in order has a report for each of them at once.
#[test]
fn chains_returned_in_order_used_at_once() {
    for_each_ring!(check_one_by_one(0, EVENT_IDX));
}

/// SPLIT-ORD-8, EVA-2: an event anywhere among the entries of a batch notifies, and none outside.
#[test]
fn split_event_on_skipped_entry_notifies() {
    for event in 0..8 {
        let (mut rig, raw) = split_rig(EVENT_IDX);
        let mut tokens = rig.fetch(&[(); 6].map(|()| DriverChain::new().writable(1)));
        rig.queue.complete(tokens[0].take().unwrap(), 1).unwrap();
        rig.notifications.take();
        raw.set_used_event(event);
        for at in [4, 3, 2, 1] {
            assert_eq!(rig.notifications.count(), 0);
            rig.queue.complete(tokens[at].take().unwrap(), 1).unwrap();
        }
        assert_eq!(rig.notifications.count(), usize::from((1..=4).contains(&event)), "{event}");
    }
}

/// PACK-EVT-9, EVA-9, PACK-INO-2: the same on slots, those inside of lists as well.
#[test]
fn packed_event_on_skipped_slot_notifies() {
    for start_at in 0..14_u32 {
        for event in 0..14_u32 {
            let (mut rig, raw) = packed_rig(7, EVENT_IDX);
            for _ in 0..start_at {
                let token = rig.fetch(&[DriverChain::new().writable(1)]).remove(0).unwrap();
                rig.queue.complete(token, 1).unwrap();
                rig.reap();
            }
            let lists = [1, 2, 1, 2].map(|len| DriverChain::new().writable_cut(len, &vec![1; len as usize]));
            let mut tokens = rig.fetch(&lists);
            rig.notifications.take();
            let off_wrap = packed_support::off_wrap(7, event);
            raw.set_driver_events(EventSuppression { off_wrap, flags: EventSuppression::DESC });
            for (at, len) in [(2, 1), (1, 2), (0, 1)] {
                assert_eq!(rig.notifications.count(), 0);
                rig.queue.complete(tokens[at].take().unwrap(), len).unwrap();
            }
            let passed = (start_at..start_at + 4).any(|position| packed_support::off_wrap(7, position) == off_wrap);
            assert_eq!(rig.notifications.count(), usize::from(passed), "{event} from {start_at}");
        }
    }
}

/// HOST-4, INV-5: what is held back is in flight for the driver. One that makes more available breaks the queue.
#[test]
fn split_chains_held_back_count_as_in_flight() {
    for held in 1..8_u16 {
        for by_enabling in [false, true] {
            let (mut rig, raw) = split_rig(0);
            let mut tokens = rig.fetch(&[(); 8].map(|()| DriverChain::new().writable(1)));
            let tokens: Vec<_> = tokens.drain(1..=held.into()).map(Option::unwrap).collect();
            tokens.into_iter().for_each(|token| rig.queue.complete(token, 1).unwrap());
            assert_eq!((rig.queue.in_flight(), raw.used_index()), (8 - held, 0));
            assert!(rig.queue.next_chain().unwrap().is_none());
            support::offer(&raw, &[0]);
            let fault = FatalError::Oversubscribed { available: 1, in_flight: 8, size: 8 };
            let error = match by_enabling {
                true => rig.queue.enable_notifications().unwrap_err(),
                false => rig.queue.next_chain().unwrap_err(),
            };
            assert_eq!(error, fault);
            packed_support::check_dead(&mut rig.queue, &rig.mem, fault, true, Vec::new());
        }
    }
}

/// HOST-5, INV-5: the same in slots.
#[test]
fn packed_lists_held_back_count_as_in_flight() {
    let (mut rig, raw) = packed_rig(7, 0);
    let mut tokens = rig.fetch(&[1, 3, 2].map(|len| DriverChain::new().writable_cut(len, &vec![1; len as usize])));
    rig.queue.complete(tokens[1].take().unwrap(), 3).unwrap();
    assert_eq!(rig.queue.in_flight(), 3);
    let mut hand = Hand { raw, next: 6 };
    hand.offer(9, &[packed_support::readable(1, 1), packed_support::readable(1, 1)]);
    let fault = FatalError::Oversubscribed { available: 2, in_flight: 6, size: 7 };
    assert_eq!(rig.queue.next_chain().unwrap_err(), fault);
    let token = tokens[0].take().unwrap();
    packed_support::check_dead(&mut rig.queue, &rig.mem, fault, true, vec![token]);
}

/// HOST-19, HOST-6, INV-1, INV-4: the same Buffer ID for lists of different lengths, returned out of order. Each is known by
/// its place, so that the slots still add up.
#[test]
fn packed_lists_with_same_id_are_told_apart() {
    for (lens, order) in [([3, 1], [1, 0]), ([1, 3], [1, 0]), ([2, 2], [1, 0]), ([3, 1], [0, 1])] {
        let (mut rig, raw) = packed_rig(4, 0);
        let mut hand = Hand::new(raw);
        for _ in 0..9 {
            let first = hand.next;
            let list = |len: u32| vec![packed_support::writable(SPACE, 1); len as usize];
            lens.iter().for_each(|len| _ = hand.offer(7, &list(*len)));
            let mut tokens: Vec<_> = lens.iter().map(|_| Some(fetch(&mut rig.queue))).collect();
            for at in order {
                // Through a number, as for I/O that is done elsewhere.
                let token = Token::from_u64(tokens[at].take().unwrap().into_u64());
                rig.queue.complete(token, 100 + lens[at]).unwrap();
            }
            // Neither was filled as the driver would have it, so each has its own report.
            hand.check_used(first, 7, 100 + lens[0]);
            hand.check_used(first + lens[0], 7, 100 + lens[1]);
            assert_eq!(rig.queue.in_flight(), 0);
            assert!(rig.queue.next_chain().unwrap().is_none());
        }
    }
}

/// HOST-26, SPLIT-DESC-9, SPLIT-IND-9, DRV-DESC-3, DRV-IND-5: heads and links in disorder, although IN_ORDER was negotiated. Links
/// are followed as ever, and buffers used in the order of the available ring.
#[test]
fn heads_and_links_in_disorder_tolerated() {
    let (mut rig, raw) = split_rig(INDIRECT_DESC);
    let (r, w) = (support::readable(SPACE, 1), support::writable(SPACE, 1));
    support::write_direct(&raw, &[w, support::linked(r, 0), support::table(SPACE + 0x100, 48), support::linked(r, 1)]);
    support::write_table(&raw, SPACE + 0x100, &[support::linked(r, 2), w, support::linked(w, 1)]);
    let (plain_r, plain_w) = ((SPACE, 1, false), (SPACE, 1, true));
    for round in 0..5 {
        support::offer(&raw, &[3, 2, 1, 0]);
        let mut tokens = Vec::new();
        for (head, expected) in [
            (3, vec![plain_r, plain_r, plain_w]),
            (2, vec![plain_r, plain_w, plain_w]),
            (1, vec![plain_r, plain_w]),
            (0, vec![plain_w]),
        ] {
            let chain = rig.queue.next_chain().unwrap().unwrap();
            assert_eq!((chain.id(), support::walk(&chain)), (head, (expected, None)));
            tokens.push(chain.into_token());
        }
        tokens.into_iter().rev().for_each(|token| rig.queue.complete(token, 0).unwrap());
        let heads: Vec<_> = support::used_since(&raw, 4 * round).iter().map(|used| used.id).collect();
        assert_eq!(heads, [3, 2, 1, 0], "none was filled, so none is skipped");
    }
}

/// SPLIT-ORD-1, HOST-6, INV-4: the same head several times in flight, behind another one or not: there is a report for each,
/// whichever of them is returned first.
#[test]
fn same_head_many_times_used_in_order() {
    for (heads, returned) in
        [([2, 2, 2], [2, 1, 0]), ([1, 2, 2], [1, 2, 0]), ([2, 1, 2], [2, 1, 0]), ([2, 2, 1], [2, 1, 0])]
    {
        let (mut rig, raw) = split_rig(0);
        (1..3).for_each(|head| raw.set_descriptor(head, support::writable(SPACE, 4)));
        support::offer(&raw, &heads);
        let mut tokens = [(); 3].map(|()| Some(fetch(&mut rig.queue)));
        returned.iter().for_each(|at| rig.queue.complete(tokens[*at].take().unwrap(), 1).unwrap());
        assert_eq!(support::used_since(&raw, 0), heads.map(|head| support::used(head.into(), 1)));
        assert_eq!(rig.queue.in_flight(), 0);
    }
}

/// Runs the same through an ordered ring that has not negotiated it, and through the ring as it is: every access is the same.
fn check_plain<F: QueueFormat>(features: u64) {
    let run = |ordered: bool| {
        let heap = Arc::new(HeapMem::new(DriverAddr(0x1000_0000), 1 << 16).unwrap());
        let mut driver = Driver::<F>::new(Arc::clone(&heap), 16, DriverOptions { features, ..Default::default() });
        let mem = Rc::new(TestMem::new(heap));
        let config = driver.queue_config(QueueLimits::default());
        mem.start_log();
        let order = if ordered {
            // No room at all: none is needed.
            let queue = Queue::<InOrderRing<F::Ring<Mem>, [InFlight; 0]>, _>::new(&config, Rc::clone(&mem), Silent);
            disorder(&mut driver, queue.unwrap())
        } else {
            disorder(&mut driver, Queue::<F::Ring<Mem>, _>::new(&config, Rc::clone(&mem), Silent).unwrap())
        };
        (order, mem.take_log())
    };
    let (plain, ordered) = (run(false), run(true));
    assert_eq!(plain.0, [2, 0, 1].repeat(9));
    assert_eq!(plain, ordered);
}

struct Silent;

impl DriverNotify for Silent {
    fn notify(&self) {}
}

/// Returns three chains at a time in disorder, and then in which order the driver found them used.
fn disorder<F: QueueFormat, R: Ring>(driver: &mut Driver<F>, mut queue: Queue<R, Silent>) -> Vec<usize> {
    let mut found = Vec::new();
    for _ in 0..9 {
        let ids = [(); 3].map(|()| driver.add(&chain(2)).unwrap());
        let [a, b, c] = [(); 3].map(|()| fetch(&mut queue));
        queue.suppress_notifications();
        for (token, len) in [(c, 2), (a, 2), (b, 1)] {
            queue.complete(token, len).unwrap();
        }
        assert_eq!(queue.enable_notifications(), Ok(Armed::Waiting));
        let used = driver.reap_all().unwrap();
        found.extend(used.iter().map(|used| ids.iter().position(|id| *id == used.id).unwrap()));
    }
    found
}

/// GEN-8, FEAT-14: a ring that could keep the order, and has not promised to, does what the ring in it does.
#[test]
fn order_not_negotiated_is_plain_ring() {
    for features in [0, EVENT_IDX] {
        check_plain::<Split>(features);
        check_plain::<Packed>(features);
        check_plain::<Any>(features);
        check_plain::<Any>(features | RING_PACKED);
    }
}

/// Returns three chains in disorder to a ring that keeps the order although nobody asked for it, and looks at each once more.
fn check_always<F: QueueFormat>(features: u64, reports: usize)
where
    OrderedRing<F::Ring<Mem>, Few>: Lasting + FromConfig + Ring<Mem = Mem>,
{
    let heap = Arc::new(HeapMem::new(DriverAddr(0x1000_0000), 1 << 16).unwrap());
    let mut driver = Driver::<F>::new(Arc::clone(&heap), 8, DriverOptions { features, ..Default::default() });
    let mem = Rc::new(TestMem::new(heap));
    let config = driver.queue_config(QueueLimits::default());
    let mut queue = Queue::<OrderedRing<F::Ring<Mem>, Few>, _>::new(&config, Rc::clone(&mem), Silent).unwrap();
    for _ in 0..20 {
        let ids = [1, 2, 3].map(|len| driver.add(&DriverChain::new().writable_cut(len, &[1])).unwrap());
        let mut tokens = ids.map(|_| Some(fetch(&mut queue)));
        for (at, len) in [(2, 3), (1, 2)] {
            let ((), log) = logged(&mem, || queue.complete(tokens[at].take().unwrap(), len).unwrap());
            assert_eq!(log, []);
        }
        // Nobody has written over the one that is still in flight.
        let chain = queue.chain(tokens[0].take().unwrap()).unwrap();
        assert_eq!(support::walk(&chain).0.iter().map(|element| element.1).sum::<u64>(), 1);
        let ((), log) = logged(&mem, || chain.return_written(1).unwrap());
        assert_eq!(writes(log).len(), reports, "a report for each");
        let used = driver.reap_all().unwrap();
        assert!(used.iter().map(|used| (used.id, used.len)).eq(ids.into_iter().zip(1..)));
    }
}

/// SPLIT-ORD-7, SPLIT-ORD-1, PACK-INO-1, GEN-8: a ring that keeps the order although IN_ORDER was not negotiated has no batches:
/// the driver knows nothing of them. The chains in flight can be walked at any time.
#[test]
fn order_kept_without_being_asked_for_has_no_batches() {
    for features in [0, EVENT_IDX] {
        check_always::<Split>(features, 3 + 1);
        check_always::<Packed>(features, 3 * 3);
        check_always::<Any>(features, 3 + 1);
        check_always::<Any>(features | RING_PACKED, 3 * 3);
    }
    // Whether or not it was negotiated, there has to be room.
    let (config, mem) = config_for::<Packed>(9, 0);
    let made = OrderedRing::<PackedRing<Mem>, Few>::from_config(&config, mem);
    assert_eq!(made.err(), Some(ConfigError::SizeOverLimit { size: 9, limit: 8 }));
}

/// The configuration of a queue, and memory for it.
fn config_for<F: QueueFormat>(size: u16, features: u64) -> (virtio_queue_core::QueueConfig, Mem) {
    let heap = Arc::new(HeapMem::new(DriverAddr(0x1000_0000), 1 << 20).unwrap());
    let driver = Driver::<F>::new(Arc::clone(&heap), size, DriverOptions { features, ..Default::default() });
    let mem = Rc::new(TestMem::new(heap));
    mem.start_log();
    (driver.queue_config(QueueLimits::default()), mem)
}

fn check_room<F: QueueFormat, S: OrderStorage>(size: u16, limit: Option<u16>) {
    let (config, mem) = config_for::<F>(size, IN_ORDER);
    let made = InOrderRing::<F::Ring<Mem>, S>::from_config(&config, Rc::clone(&mem));
    assert_eq!(made.err(), limit.map(|limit| ConfigError::SizeOverLimit { size, limit }));
    // Without the promise there is no need for room.
    let (config, mem) = config_for::<F>(size, 0);
    assert!(InOrderRing::<F::Ring<Mem>, S>::from_config(&config, mem).is_ok());
}

/// DRV-CFG-4: a queue that is larger than there is room for is refused, and one that is just as large is not.
#[test]
fn queue_larger_than_storage_refused() {
    for size in [1, 4, 8] {
        check_room::<Split, Few>(size, None);
        check_room::<Packed, Few>(size, None);
    }
    for size in [16, 32768] {
        check_room::<Split, Few>(size, Some(8));
        check_room::<Any, Few>(size, Some(8));
        check_room::<Split, Many>(size, None);
    }
    for size in [9, 32768] {
        check_room::<Packed, Few>(size, Some(8));
        check_room::<Packed, Many>(size, None);
    }
    check_room::<Split, [InFlight; 0]>(1, Some(0));
    check_room::<Packed, [InFlight; 40000]>(32768, None);
    assert_eq!(<[InFlight; 70000]>::CAPACITY, u16::MAX);
}

/// FEAT-14: a ring that cannot keep the order does not run where it was promised, and nothing is accessed.
#[test]
fn order_refused_by_rings_that_do_not_keep_it() {
    let refused = Some(ConfigError::Features(RingFeatures::IN_ORDER));
    let (config, mem) = config_for::<Split>(8, IN_ORDER);
    assert_eq!(SplitQueue::new(&config, Rc::clone(&mem), Silent).err(), refused);
    assert_eq!(AnyQueue::new(&config, Rc::clone(&mem), Silent).err(), refused);
    assert_eq!(mem.take_log(), []);
    let (config, mem) = config_for::<Packed>(8, IN_ORDER);
    assert_eq!(PackedQueue::new(&config, Rc::clone(&mem), Silent).err(), refused);
    assert_eq!(AnyQueue::new(&config, Rc::clone(&mem), Silent).err(), refused);
    assert_eq!(mem.take_log(), []);
}

/// A device that returns chains in any order, some of them filled and some not, one by one and in bursts.
fn check_traffic<F: QueueFormat, S: OrderStorage>(features: u64) {
    for size in [1, 2, 8] {
        let mut rig = Rig::<F, S>::new(size, features);
        let mut traffic = rig.driver.traffic(u64::from(size), 40);
        let (mut state, mut plans, mut held) = (5_u64, VecDeque::new(), Vec::new());
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut reaped = 0;
        for _ in 0..1500 {
            for _ in 0..random(4) {
                let plan = traffic.next_chain();
                match rig.driver.add(&plan) {
                    Ok(id) => plans.push_back((id, plan, None)),
                    Err(_) => break,
                }
            }
            for _ in 0..random(4) {
                let Some(chain) = rig.queue.next_chain().unwrap() else { break };
                let written = serve(&chain);
                let plan = plans.iter_mut().find(|plan| plan.2.is_none()).unwrap();
                assert_eq!(chain.id(), plan.0);
                let written = if random(3) == 0 { random(written as usize + 1) as u32 } else { written };
                plan.2 = Some(written);
                held.push((chain.into_token(), written));
            }
            let mut burst = rig.queue.burst();
            for _ in 0..random(held.len() + 1) {
                let (token, written) = held.swap_remove(random(held.len()));
                burst.complete(token, written).unwrap();
                if random(4) == 0 {
                    burst.flush().unwrap();
                }
            }
            burst.finish().unwrap();
            while let Some(used) = rig.driver.reap().unwrap() {
                let (id, plan, written) = plans.pop_front().unwrap();
                assert_eq!((used.id, Some(used.len)), (id, written));
                let answer = reply(&plan.readable_bytes(), plan.writable_len());
                assert_eq!(used.written(), &answer[..used.len as usize]);
                reaped += 1;
            }
            assert!(usize::from(rig.driver.in_flight()) == plans.len() && !rig.queue.is_broken());
        }
        assert!(reaped > 400, "{reaped} of {size}");
    }
}

/// SPLIT-ORD-1, SPLIT-ORD-2, SPLIT-ORD-5, PACK-INO-1, PACK-INO-2, PACK-INO-3, PACK-INO-4, AMB-14, INV-4, REG-15: random traffic
/// through rings of every kind: each buffer comes back once, in order, with what was written into it, although the driver
/// takes the skipped ones for filled.
#[test]
fn random_traffic_stays_in_order() {
    for_each_ring!(check_traffic(0, EVENT_IDX, INDIRECT_DESC));
}

fn check_made_up<F: QueueFormat, S: OrderStorage>(features: u64) {
    let mut rig = Rig::<F, S>::new(8, features);
    for _ in 0..9 {
        let tokens = rig.fetch(&[chain(0), chain(2)]);
        let numbers: Vec<u64> = tokens.into_iter().map(|token| token.unwrap().into_u64()).collect();
        let in_flight = rig.queue.in_flight();
        for number in &numbers {
            // The id is right, and where the chain begins or how many slots it takes is not.
            for other in [1 << 16, 1 << 18, 1 << 31, 1 << 32] {
                let made_up = Token::from_u64(number ^ other);
                let refused = Err(ReturnError::Stale { id: made_up.id() });
                let (returned, log) = logged(&rig.mem, || rig.queue.complete(made_up, 0));
                assert_eq!((returned, log, rig.queue.in_flight()), (refused, vec![], in_flight), "{other:#x}");
            }
        }
        for (number, len) in numbers.iter().zip([0, 2]).rev() {
            rig.queue.complete(Token::from_u64(*number), len).unwrap();
        }
        for number in numbers {
            let id = Token::from_u64(number).id();
            assert_eq!(rig.queue.complete(Token::from_u64(number), 0), Err(ReturnError::Stale { id }), "twice");
        }
        assert_eq!(rig.reap(), [0, 2]);
    }
}

/// QRST-8, INV-1, INV-4: a queue that keeps the order remembers its chains: of numbers that were made up, those with the wrong
/// place or length are refused even if the id is one in flight.
#[test]
fn tokens_with_wrong_place_refused() {
    for_each_ring!(check_made_up(0, EVENT_IDX));
}

/// INV-1, INV-4: numbers that were made up for a queue that keeps the order. They may return somebody else's chain, and do
/// nothing worse.
#[test]
fn forged_tokens_do_no_harm() {
    let (mut rig, _) = packed_rig(8, 0);
    let mut state = 3_u64;
    for _ in 0..300 {
        let lists = [1, 3, 2, 2].map(|len| DriverChain::new().writable_cut(len, &vec![1; len as usize]));
        for list in lists {
            let _ = rig.driver.add(&list);
        }
        let mut last = None;
        while let Ok(Some(chain)) = rig.queue.next_chain() {
            last = Some(chain.into_token().into_u64());
        }
        let Some(number) = last else { break };
        for _ in 0..8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Everything but the generation, in its higher bits.
            let _ = rig.queue.complete(Token::from_u64(number ^ state >> 40 & 0x7_0007_0007), 1);
        }
        assert!(rig.queue.in_flight() <= 8);
        let _ = rig.driver.reap_all();
    }
}

/// SUSP-2, SPLIT-ORD-1: a queue that keeps the order has nothing held back once nothing is in flight: it is suspended, saved,
/// and goes on elsewhere.
fn check_saved<F: QueueFormat, S: OrderStorage>(features: u64) {
    let mut rig = Rig::<F, S>::new(4, features);
    for round in 0..20_u32 {
        let mut tokens = rig.fetch(&[chain(1), DriverChain::new().writable(2)]);
        let mut draining = rig.queue.drain();
        draining.complete(tokens[1].take().unwrap(), 2).unwrap();
        let mut draining = draining.suspend().expect_err("one is in flight");
        assert_eq!(rig.driver.reap(), Ok(None));
        draining.complete(tokens[0].take().unwrap(), round % 2).unwrap();
        let used: Vec<_> = rig.driver.reap_all().unwrap().iter().map(|used| used.len).collect();
        assert_eq!(used, [round % 2, 2]);
        let saved = draining.suspend().unwrap().save();
        let ring =
            FromConfig::from_config(&rig.driver.queue_config(QueueLimits::default()), Rc::clone(&rig.mem)).unwrap();
        let (queue, armed) = Queue::restore(ring, Arc::clone(&rig.notifications), &saved).unwrap();
        assert_eq!(armed, Armed::Waiting);
        rig.queue = queue;
    }
}

#[test]
fn queue_in_order_suspended_and_restored() {
    for_each_ring!(check_saved(0, EVENT_IDX));
}
