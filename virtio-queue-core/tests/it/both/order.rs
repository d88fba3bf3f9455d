//! Order: chains come out in the order in which they were made available, and are published in the order in which they
//! are returned. Nothing here knows a format.

use std::collections::VecDeque;

use virtio_fake_driver::{DriverChain, SplitFixtureOptions};

use crate::support::split::{Fixture, fixture, options};
use crate::support::{EVENT_IDX, INDIRECT};

/// What goes through a queue whose chains are told apart by their ids alone.
fn small() -> DriverChain {
    DriverChain::new().writable(1)
}

/// Makes `count` chains available at once, and returns their ids.
fn add(fixture: &mut Fixture, chain: &DriverChain, count: usize) -> Vec<u16> {
    let ids = (0..count).map(|_| fixture.driver.stage(chain).unwrap()).collect();
    fixture.driver.publish();
    ids
}

/// Checks that the next chains are those, and returns them in that order, one by one.
#[track_caller]
fn check_fetched(fixture: &mut Fixture, ids: &[u16]) {
    for id in ids {
        let chain = fixture.queue.next_chain().unwrap().expect("a chain is available");
        assert_eq!(chain.id(), *id);
        chain.return_written(1).unwrap();
    }
}

/// Checks that the driver finds those chains used, in that order.
#[track_caller]
fn check_reaped(fixture: &mut Fixture, ids: &[u16]) {
    let used = fixture.driver.reap_all().unwrap();
    assert!(used.iter().map(|used| used.id).eq(ids.iter().copied()), "{used:?} instead of {ids:?}");
    assert!(used.iter().all(|used| used.len == 1));
}

/// Runs 70,000 chains through a queue, `batch` at a time.
#[track_caller]
fn check_long_run(size: u16, features: u64, batch: usize) {
    let scramble = Some(u64::from(size));
    let mut fixture = SplitFixtureOptions { scramble, ..options(size, features) }.build().unwrap();
    for _ in 0..70_000 / batch {
        let ids = add(&mut fixture, &small(), batch);
        check_fetched(&mut fixture, &ids);
        check_reaped(&mut fixture, &ids);
    }
    assert!(fixture.queue.next_chain().unwrap().is_none());
}

/// SPLIT-AVAIL-2, SPLIT-USED-7, REG-14: both indices pass 2^16 more than once.
#[test]
fn long_run_through_queue_of_8_keeps_order() {
    check_long_run(8, EVENT_IDX, 7);
}

/// SPLIT-AVAIL-2, SPLIT-USED-7, AMB-22: as above, where every index stands for the same slot.
#[test]
fn long_run_through_queue_of_1_keeps_order() {
    check_long_run(1, 0, 1);
}

/// DRV-MAY-1, SPLIT-AVAIL-3, SPLIT-AVAIL-6: batches of every size become visible at once, with heads in disorder.
#[test]
fn batches_of_every_size_fetched_in_order() {
    let mut fixture = SplitFixtureOptions { scramble: Some(3), ..options(16, 0) }.build().unwrap();
    let mut disorder = 0;
    for batch in (1..=16).chain((1..=16).rev()) {
        let ids = add(&mut fixture, &small(), batch);
        disorder += usize::from(!ids.is_sorted());
        check_fetched(&mut fixture, &ids);
        assert!(fixture.queue.next_chain().unwrap().is_none());
        check_reaped(&mut fixture, &ids);
    }
    assert!(disorder > 20);
}

/// GEN-10, SPLIT-AVAIL-6: chains become available while others are in flight and others are returned.
#[test]
fn overlapping_batches_keep_order() {
    let mut fixture = fixture(8, EVENT_IDX);
    let mut in_flight = VecDeque::new();
    for round in 0..2000 {
        let room = 8 - in_flight.len();
        let ids = add(&mut fixture, &small(), (round * 7 % 5).min(room));
        for id in ids {
            let token = fixture.queue.next_chain().unwrap().unwrap().into_token();
            assert_eq!(token.id(), id);
            in_flight.push_back(token);
        }
        for _ in 0..round % 4 {
            let Some(token) = in_flight.pop_front() else { break };
            let id = token.id();
            fixture.queue.complete(token, 1).unwrap();
            check_reaped(&mut fixture, &[id]);
        }
        assert_eq!(usize::from(fixture.queue.in_flight()), in_flight.len());
    }
}

/// SPLIT-IND-10, SPLIT-IND-7: an indirect chain takes one descriptor, so as many fit as the queue has.
#[test]
fn indirect_chains_fill_queue() {
    let mut fixture = fixture(8, INDIRECT);
    let chain = DriverChain::new().readable_cut([7; 20], &[3, 0, 9]).writable(1).indirect();
    for _ in 0..3 {
        let ids = add(&mut fixture, &chain, 8);
        assert_eq!(fixture.driver.free_descriptors(), 0);
        check_fetched(&mut fixture, &ids);
        check_reaped(&mut fixture, &ids);
    }
}

/// All orders of `items`.
fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    let Some((first, rest)) = items.split_first() else { return vec![Vec::new()] };
    let insert = |order: Vec<usize>| {
        (0..=order.len()).map(move |at| {
            let mut longer = order.clone();
            longer.insert(at, *first);
            longer
        })
    };
    permutations(rest).into_iter().flat_map(insert).collect()
}

/// Checks that up to four chains, returned in every order there is, are used in that order.
#[track_caller]
fn check_completion_orders(features: u64, in_burst: bool) {
    let mut fixture = fixture(4, features);
    for count in 1..=4 {
        let orders = permutations(&(0..count).collect::<Vec<_>>());
        assert_eq!(orders.len(), (1..=count).product());
        for order in orders {
            let ids = add(&mut fixture, &small(), count);
            let mut tokens: Vec<_> =
                ids.iter().map(|_| Some(fixture.queue.next_chain().unwrap().unwrap().into_token())).collect();
            let tokens = order.iter().map(|at| tokens[*at].take().unwrap());
            if in_burst {
                let mut burst = fixture.queue.burst();
                tokens.for_each(|token| burst.complete(token, 1).unwrap());
            } else {
                tokens.for_each(|token| fixture.queue.complete(token, 1).unwrap());
            }
            let expected: Vec<u16> = order.iter().map(|at| ids[*at]).collect();
            check_reaped(&mut fixture, &expected);
        }
    }
}

/// GEN-8: without IN_ORDER, buffers are used in whatever order they are done.
#[test]
fn chains_completed_in_any_order_published_in_that_order() {
    check_completion_orders(0, false);
    check_completion_orders(EVENT_IDX, false);
}

/// GEN-8: the same where they are published together.
#[test]
fn chains_completed_in_any_order_in_burst_published_in_that_order() {
    check_completion_orders(0, true);
    check_completion_orders(EVENT_IDX, true);
}

/// GEN-8: chains returned by themselves, by a drop, and by a token, all in one burst.
#[test]
fn chains_returned_in_every_way_published_in_order() {
    let mut fixture = fixture(8, 0);
    let ids = add(&mut fixture, &small(), 4);
    let mut burst = fixture.queue.burst();
    let token = burst.next_chain().unwrap().unwrap().into_token();
    drop(burst.next_chain().unwrap());
    burst.next_chain().unwrap().unwrap().return_written(1).unwrap();
    burst.complete(token, 1).unwrap();
    drop(burst.next_chain().unwrap());
    burst.finish().unwrap();
    let used = fixture.driver.reap_all().unwrap();
    let used: Vec<_> = used.iter().map(|used| (used.id, used.len)).collect();
    assert_eq!(used, [(ids[1], 0), (ids[2], 1), (ids[0], 1), (ids[3], 0)]);
}
