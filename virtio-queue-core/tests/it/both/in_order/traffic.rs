//! Everything at once, and queues that are suspended in the middle of it.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use virtio_fake_driver::features::{EVENT_IDX, INDIRECT_DESC};
use virtio_fake_driver::{Driver, DriverChain, QueueFormat, Traffic};
use virtio_queue_core::{Armed, FromConfig, Head, OrderStorage, Queue, QueueLimits, Token};

use super::{Mem, Rig, chain, for_each_ring};
use crate::support::{reply, serve};

/// A buffer that the driver has made available.
struct Plan {
    id: u16,
    chain: DriverChain,
    /// How much the device says that it has written, once it has fetched the chain.
    written: Option<u32>,
}

/// A device that returns chains in any order, some of them filled and some not, one by one and in bursts.
struct Model<F: QueueFormat, S: OrderStorage> {
    rig: Rig<F, S>,
    traffic: Traffic,
    rng: Xoshiro256PlusPlus,
    /// Made available and not reaped, in order.
    plans: VecDeque<Plan>,
    /// Fetched and served, and not returned.
    held: Vec<(Token, u32)>,
    reaped: usize,
}

impl<F: QueueFormat, S: OrderStorage> Model<F, S> {
    fn new(size: u16, features: u64) -> Self {
        let rig = Rig::<F, S>::new(size, features);
        let traffic = rig.driver.traffic(u64::from(size), 40);
        let rng = Xoshiro256PlusPlus::seed_from_u64(5);
        Self { rig, traffic, rng, plans: VecDeque::new(), held: Vec::new(), reaped: 0 }
    }

    fn add(&mut self) {
        for _ in 0..self.rng.random_range(0..4) {
            let chain = self.traffic.next_chain();
            let Ok(id) = self.rig.driver.add(&chain) else { break };
            self.plans.push_back(Plan { id, chain, written: None });
        }
    }

    fn fetch(&mut self) {
        for _ in 0..self.rng.random_range(0..4) {
            let Some(chain) = self.rig.queue.next_chain().unwrap() else { break };
            let all = serve(&chain);
            let written = if self.rng.random_ratio(1, 3) { self.rng.random_range(0..=all) } else { all };
            let plan = self.plans.iter_mut().find(|plan| plan.written.is_none()).unwrap();
            assert_eq!(chain.id(), plan.id);
            plan.written = Some(written);
            self.held.push((chain.into_token(), written));
        }
    }

    fn complete(&mut self) {
        let mut burst = self.rig.queue.burst();
        for _ in 0..self.rng.random_range(0..=self.held.len()) {
            let (token, written) = self.held.swap_remove(self.rng.random_range(0..self.held.len()));
            burst.complete(token, written).unwrap();
            if self.rng.random_ratio(1, 4) {
                burst.flush().unwrap();
            }
        }
        burst.finish().unwrap();
    }

    fn reap(&mut self) {
        while let Some(used) = self.rig.driver.reap().unwrap() {
            let Plan { id, chain, written } = self.plans.pop_front().unwrap();
            assert_eq!((used.id, Some(used.len)), (id, written));
            let answer = reply(&chain.readable_bytes(), chain.writable_len());
            assert_eq!(used.written(), &answer[..used.len as usize]);
            self.reaped += 1;
        }
    }
}

fn check_traffic<F: QueueFormat, S: OrderStorage>(features: u64) {
    for size in [1, 2, 8] {
        let mut model = Model::<F, S>::new(size, features);
        for _ in 0..1500 {
            model.add();
            model.fetch();
            model.complete();
            model.reap();
            assert_eq!(usize::from(model.rig.driver.in_flight()), model.plans.len());
            assert!(!model.rig.queue.is_broken());
        }
        assert!(model.reaped > 400, "{} of {size}", model.reaped);
    }
}

/// SPLIT-ORD-1, SPLIT-ORD-2, SPLIT-ORD-5, PACK-INO-1, PACK-INO-2, PACK-INO-3, PACK-INO-4, AMB-14, INV-4, REG-15: random
/// traffic through rings of every kind: each buffer comes back once, in order, with what was written into it, although
/// the driver takes the skipped ones for filled.
#[test]
fn random_traffic_stays_in_order() {
    for_each_ring!(check_traffic(0, EVENT_IDX, INDIRECT_DESC));
}

/// A ring for a queue that goes on where another one was.
fn ring<F: QueueFormat, R: FromConfig<Mem = Mem>>(driver: &Driver<F>, mem: &Mem) -> R {
    FromConfig::from_config(&driver.queue_config(QueueLimits::default()), Rc::clone(mem)).unwrap()
}

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
        let (queue, armed) =
            Queue::restore(ring(&rig.driver, &rig.mem), Arc::clone(&rig.notifications), &saved).unwrap();
        assert_eq!(armed, Armed::Waiting);
        rig.queue = queue;
    }
}

/// SUSP-2, SPLIT-ORD-1: a queue that keeps the order has nothing held back once nothing is in flight: it is suspended,
/// saved, and goes on elsewhere.
#[test]
fn queue_in_order_suspended_and_restored() {
    for_each_ring!(check_saved(0, EVENT_IDX));
}

/// Three chains are fetched by a queue that is lost. The second one is completed before the third one is adopted.
fn check_adopted<F: QueueFormat, S: OrderStorage>(features: u64) {
    let mut rig = Rig::<F, S>::new(4, features);
    let fetched = rig.fetch(&[1, 2, 3].map(|len| DriverChain::new().writable(len)));
    let heads: Vec<_> = fetched.iter().flatten().map(|token| Head::new(token.id(), 0, 1)).collect();
    let (ring, notifications) = (ring(&rig.driver, &rig.mem), Arc::clone(&rig.notifications));
    (rig.queue, _) = Queue::restore(ring, notifications, &rig.queue.save()).unwrap();
    let [first, second] = [heads[0], heads[1]].map(|head| rig.queue.adopt(head).unwrap());
    rig.queue.complete(second, 2).unwrap();
    let third = rig.queue.adopt(heads[2]).unwrap();
    assert!(rig.queue.adopt(heads[0]).is_err(), "no more than were lost");
    rig.queue.complete(third, 3).unwrap();
    assert!(rig.reap().is_empty());
    rig.queue.complete(first, 0).unwrap();
    assert_eq!(rig.reap(), [0, 2, 3]);
    rig.advance(5);
}

/// BASE-2, SPLIT-ORD-1, PACK-INO-1: a queue that keeps the order adopts chains in the order in which they were fetched,
/// and returns them in that order.
#[test]
fn chains_of_an_earlier_life_are_completed_in_order() {
    for_each_ring!(check_adopted(0, EVENT_IDX));
}
