//! The order in which chains are used, whatever the order in which they are returned.

use virtio_fake_driver::features::{EVENT_IDX, INDIRECT_DESC};
use virtio_fake_driver::{DriverChain, MemEvent, QueueFormat, Split};
use virtio_queue_core::{OrderSlot, OrderStorage};

use super::{Rig, chain, for_each_ring};
use crate::support::{fetch, logged, serve_chains};

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

/// SPLIT-ORD-1, PACK-INO-1, FEAT-14: in whatever order chains are returned, they are used in the order in which they
/// were made available. One that is before its turn is held back, and nothing at all is accessed for it.
#[test]
fn chains_returned_in_any_order_used_in_order() {
    for_each_ring!(check_every_order(0, EVENT_IDX, INDIRECT_DESC));
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

/// SPLIT-ORD-1, PACK-INO-1: chains that are served while an older one is in flight wait for it. Others are used at
/// once.
#[test]
fn served_chains_wait_for_older_one() {
    fn check<F: QueueFormat, S: OrderStorage>(features: u64) {
        let mut rig = Rig::<F, S>::new(8, features);
        let writable = |len| DriverChain::new().writable(len);
        for _ in 0..10 {
            let token = rig.fetch(&[writable(4)]).remove(0).unwrap();
            (1..=3).for_each(|len| _ = rig.driver.add(&writable(len)).unwrap());
            assert_eq!(serve_chains(&mut rig.queue, 0, |_| 0), Ok(0));
            let mut lens = 1..;
            assert_eq!(serve_chains(&mut rig.queue, 2, |_| lens.next().unwrap()), Ok(2));
            assert_eq!(serve_chains(&mut rig.queue, usize::MAX, |_| lens.next().unwrap()), Ok(1));
            assert_eq!((rig.queue.in_flight(), rig.reap()), (1, vec![]));
            rig.queue.complete(token, 4).unwrap();
            assert_eq!(rig.reap(), [4, 1, 2, 3]);
            rig.driver.add(&writable(5)).unwrap();
            assert_eq!((serve_chains(&mut rig.queue, 1, |_| 5), rig.reap()), (Ok(1), vec![5]));
        }
    }
    for_each_ring!(check(0, EVENT_IDX));
}

/// SPLIT-ORD-2, PACK-INO-1: what was put back leaves no gap in the order.
fn check_put_back<F: QueueFormat, S: OrderStorage>(features: u64) {
    let mut rig = Rig::<F, S>::new(8, features);
    for _ in 0..20 {
        let chains = [chain(1), chain(2)];
        let ids = chains.each_ref().map(|chain| rig.driver.add(chain).unwrap());
        let [first, second] = ids.map(|_| fetch(&mut rig.queue));
        rig.queue.unfetch(second).unwrap();
        let second = fetch(&mut rig.queue);
        assert_eq!((first.id(), second.id()), (ids[0], ids[1]));
        rig.queue.complete(second, 2).unwrap();
        assert_eq!(rig.reap(), []);
        rig.queue.complete(first, 1).unwrap();
        assert_eq!((rig.reap(), rig.queue.in_flight()), (vec![1, 2], 0));
    }
}

#[test]
fn chain_put_back_leaves_no_gap() {
    for_each_ring!(check_put_back(0, EVENT_IDX));
}

/// A storage with more places than any queue has chains, and than 16 bits can number.
struct Huge(Vec<OrderSlot>);

impl AsMut<[OrderSlot]> for Huge {
    fn as_mut(&mut self) -> &mut [OrderSlot] {
        &mut self.0
    }
}

impl OrderStorage for Huge {
    const CAPACITY: u16 = u16::MAX;

    fn with_len(_len: u16) -> Self {
        Self(vec![OrderSlot::default(); (1 << 16) + 10])
    }
}

#[test]
fn storage_larger_than_any_queue_keeps_all_chains() {
    let mut rig = Rig::<Split, Huge>::new(8, 0);
    for _ in 0..(1_u32 << 16) + 20 {
        rig.driver.add(&chain(1)).unwrap();
        let token = fetch(&mut rig.queue);
        rig.queue.complete(token, 1).unwrap();
        assert_eq!(rig.reap(), [1]);
    }
}
