//! Batches: which buffers share a report, what is in it, and what is not written.

use virtio_fake_driver::features::{EVENT_IDX, RING_PACKED};
use virtio_fake_driver::split::UsedElement;
use virtio_fake_driver::{Any, DriverChain, MemEvent, Packed, QueueFormat, Split};
use virtio_queue_core::{OrderSlot, OrderStorage};

use super::{Many, Rig, for_each_ring, packed_rig, split_rig, writes};
use crate::support::packed::Hand;
use crate::support::{SPACE, fetch, logged, split, writable};

/// Room for more than eight.
type Few16 = [OrderSlot; 16];

/// SPLIT-ORD-2, SPLIT-ORD-3, SPLIT-ORD-4, SPLIT-ORD-6: a batch is one element, in the slot of its first buffer, with
/// the id and the length of its last; the skipped slots are not written, and the next batch begins after them.
#[test]
fn split_batch_is_one_element() {
    for (start_at, batch) in (0..9).flat_map(|start_at| (2..=8).map(move |batch| (start_at, batch))) {
        let (mut rig, raw) = split_rig(0);
        let areas = *raw.areas();
        rig.advance(start_at.into());
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

/// PACK-INO-2, PACK-INO-4, AMB-14, PACK-WRAP-4, AMB-12: a batch is one used descriptor, in the slot of its first list,
/// with id, length and WRITE of its last; all slots of all its lists are skipped, not written, and the wrap counter
/// flips where they pass the end.
#[test]
fn packed_batch_is_one_descriptor() {
    for start_at in 0..14_u32 {
        for (lens, last) in [([3_u32, 1, 2], 6), ([1, 1, 1], 0), ([2, 2, 3], 6), ([5, 1, 1], 0)] {
            let (mut rig, raw) = packed_rig(7, 0);
            let hand = Hand::new(raw.clone());
            rig.advance(start_at);
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
            assert_eq!(writes(log), [MemEvent::Written(areas.used(slot))]);
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
fn check_partial<F: QueueFormat, S: OrderStorage>(features: u64, partial: u32, in_burst: bool) -> usize {
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
    reports
}

/// SPLIT-ORD-5, PACK-INO-3, AMB-14, USER-1, SPLIT-UNOT-7: a buffer that was not filled is the last of its batch,
/// whichever of the four are. All batches are published at once, with one notification.
#[test]
fn buffer_not_filled_ends_its_batch() {
    for in_burst in [false, true] {
        for partial in 0..16_u32 {
            // Whether the last one was filled does not matter: it ends its batch in any case.
            let batches = 1 + (partial & 7).count_ones() as usize;
            let writes = check_partial::<Split, Few16>(0, partial, in_burst);
            assert_eq!(writes, batches + 1, "an element for each batch, and one index: {partial:#b}");
            let writes = check_partial::<Any, Many>(0, partial, in_burst);
            assert_eq!(writes, batches + 1);
            let writes = check_partial::<Packed, Few16>(EVENT_IDX, partial, in_burst);
            assert_eq!(writes, batches, "a used descriptor for each batch: {partial:#b}");
            let writes = check_partial::<Any, Many>(RING_PACKED, partial, in_burst);
            assert_eq!(writes, batches);
        }
    }
}

/// PACK-MB-1: of several batches that are published together, the first one's used descriptor comes last.
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
    let used = [1, 2, 3, 0].map(|slot| MemEvent::Written(raw.areas().used(slot)));
    assert_eq!(writes(rig.mem.take_log()), used);
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
        let expected = if packed { batches } else { batches + 1 };
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
    split::write_direct(&raw, &[split::linked(writable(SPACE, 4), 9), writable(SPACE, 4)]);
    split::offer(&raw, &[0, 1]);
    let [malformed, good] = [(); 2].map(|()| fetch(&mut rig.queue));
    rig.queue.complete(good, 4).unwrap();
    rig.queue.complete(malformed, 4).unwrap();
    assert_eq!(split::used_since(&raw, 0), [split::used(0, 4), split::used(1, 4)]);
}
