//! Drivers that keep to no order, or make more available than there is room for.

use virtio_fake_driver::features::INDIRECT_DESC;
use virtio_fake_driver::{DriverChain, Packed, QueueFormat, Split};
use virtio_queue_core::{FatalError, OrderSlot, OrderStorage, Token};

use super::{Many, Rig, packed_rig, split_rig};
use crate::support::packed::Hand;
use crate::support::{SPACE, check_dead, fetch, readable, split, table, walk, writable, write_table};

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
            split::offer(&raw, &[0]);
            let fault = FatalError::Oversubscribed { available: 1, in_flight: 8, size: 8 };
            let error = match by_enabling {
                true => rig.queue.enable_notifications().unwrap_err(),
                false => rig.queue.next_chain().unwrap_err(),
            };
            assert_eq!(error, fault);
            check_dead(&mut rig.queue, &rig.mem, fault, true, Vec::new());
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
    hand.offer(9, &[readable(1, 1), readable(1, 1)]);
    let fault = FatalError::Oversubscribed { available: 2, in_flight: 6, size: 7 };
    assert_eq!(rig.queue.next_chain().unwrap_err(), fault);
    let token = tokens[0].take().unwrap();
    check_dead(&mut rig.queue, &rig.mem, fault, true, vec![token]);
}

/// Has room for two chains, whatever it is asked for.
struct Two([OrderSlot; 2]);

impl OrderStorage for Two {
    const CAPACITY: u16 = 8;

    fn with_len(_len: u16) -> Self {
        Self(Default::default())
    }
}

impl AsMut<[OrderSlot]> for Two {
    fn as_mut(&mut self) -> &mut [OrderSlot] {
        &mut self.0
    }
}

/// INV-1: a storage with less room than it says breaks the queue when it is full, and no chain is forgotten.
#[test]
fn storage_that_is_too_small_breaks_queue() {
    fn check<F: QueueFormat>() {
        let mut rig = Rig::<F, Two>::new(8, 0);
        let _tokens = rig.fetch(&[(); 2].map(|()| DriverChain::new().writable(1)));
        rig.driver.add(&DriverChain::new().writable(1)).unwrap();
        let fault = FatalError::Oversubscribed { available: 1, in_flight: 2, size: 8 };
        assert_eq!(rig.queue.next_chain().unwrap_err(), fault);
    }
    check::<Split>();
    check::<Packed>();
}

/// HOST-6: one head made available as often as the queue is long, and returned from the last to the first: each is
/// known by where it was fetched. With a search for each among all others, this test would take a minute.
#[test]
fn one_head_made_available_many_times_is_told_apart() {
    let size = 32768;
    let mut rig = Rig::<Split, Many>::new(size, 0);
    let raw = rig.driver.raw().clone();
    raw.set_descriptor(0, writable(SPACE + 0xc_0000, 0x100));
    split::offer(&raw, &vec![0; size.into()]);
    let tokens: Vec<_> = (0..size).map(|_| fetch(&mut rig.queue)).collect();
    let mut burst = rig.queue.burst();
    for (written, token) in tokens.into_iter().enumerate().rev() {
        burst.complete(token, written as u32 % 0x100).unwrap();
    }
    burst.finish().unwrap();
    assert_eq!((rig.queue.in_flight(), raw.used_index()), (0, size));
    let lens = (0..size).map(|slot| raw.used_element(slot).len);
    assert!(lens.eq((0..u32::from(size)).map(|written| written % 0x100)), "each has its own length");
}

/// HOST-19, HOST-6, INV-1, INV-4: the same Buffer ID for lists of different lengths, returned out of order. Each is
/// known by its place, so that the slots still add up.
#[test]
fn packed_lists_with_same_id_are_told_apart() {
    for (lens, order) in [([3, 1], [1, 0]), ([1, 3], [1, 0]), ([2, 2], [1, 0]), ([3, 1], [0, 1])] {
        let (mut rig, raw) = packed_rig(4, 0);
        let mut hand = Hand::new(raw);
        for _ in 0..9 {
            let first = hand.next;
            let list = |len: u32| vec![writable(SPACE, 1); len as usize];
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

/// HOST-26, SPLIT-DESC-9, SPLIT-IND-9, DRV-DESC-3, DRV-IND-5: heads and links in disorder, although IN_ORDER was
/// negotiated. Links are followed as ever, and buffers used in the order of the available ring.
#[test]
fn heads_and_links_in_disorder_tolerated() {
    let (mut rig, raw) = split_rig(INDIRECT_DESC);
    let (r, w) = (readable(SPACE, 1), writable(SPACE, 1));
    split::write_direct(&raw, &[w, split::linked(r, 0), table(SPACE + 0x100, 48), split::linked(r, 1)]);
    write_table(&raw, SPACE + 0x100, &[split::linked(r, 2), w, split::linked(w, 1)]);
    let (plain_r, plain_w) = ((SPACE, 1, false), (SPACE, 1, true));
    for round in 0..5 {
        split::offer(&raw, &[3, 2, 1, 0]);
        let mut tokens = Vec::new();
        for (head, expected) in [
            (3, vec![plain_r, plain_r, plain_w]),
            (2, vec![plain_r, plain_w, plain_w]),
            (1, vec![plain_r, plain_w]),
            (0, vec![plain_w]),
        ] {
            let chain = rig.queue.next_chain().unwrap().unwrap();
            assert_eq!((chain.id(), walk(&chain)), (head, (expected, None)));
            tokens.push(chain.into_token());
        }
        tokens.into_iter().rev().for_each(|token| rig.queue.complete(token, 0).unwrap());
        let heads: Vec<_> = split::used_since(&raw, 4 * round).iter().map(|used| used.id).collect();
        assert_eq!(heads, [3, 2, 1, 0], "none was filled, so none is skipped");
    }
}

/// SPLIT-ORD-1, HOST-6, INV-4: the same head several times in flight, behind another one or not: there is a report for
/// each, whichever of them is returned first.
#[test]
fn same_head_many_times_used_in_order() {
    for (heads, returned) in
        [([2, 2, 2], [2, 1, 0]), ([1, 2, 2], [1, 2, 0]), ([2, 1, 2], [2, 1, 0]), ([2, 2, 1], [2, 1, 0])]
    {
        let (mut rig, raw) = split_rig(0);
        (1..3).for_each(|head| raw.set_descriptor(head, writable(SPACE, 4)));
        split::offer(&raw, &heads);
        let mut tokens = [(); 3].map(|()| Some(fetch(&mut rig.queue)));
        returned.iter().for_each(|at| rig.queue.complete(tokens[*at].take().unwrap(), 1).unwrap());
        assert_eq!(split::used_since(&raw, 0), heads.map(|head| split::used(head.into(), 1)));
        assert_eq!(rig.queue.in_flight(), 0);
    }
}
