//! [`Queue::gather`] and [`Queue::complete_gathered`]: chains of one element, many at a time.

use core::iter;
use core::panic::AssertUnwindSafe;
use std::panic::{catch_unwind, resume_unwind};
use std::sync::Arc;

use virtio_fake_driver::features::{EVENT_IDX, IN_ORDER, INDIRECT_DESC};
use virtio_fake_driver::{Driver, DriverChain, DriverOptions, QueueFormat, Split};
use virtio_mem_traits::{Access, DriverAddr, HeapMem};
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{
    FatalError, FromConfig, Gathered, InOrderRing, OrderSlot, Queue, QueueLimits, ReturnError, Token,
};
use virtio_util::NotificationCounter;

use crate::support::{fetch, for_each_format};

type Mem = Arc<HeapMem>;
/// There is room for as many chains as the largest ring here has.
type Chains<'m> = Gathered<'m, 16>;
type Ordered<F> = InOrderRing<<F as QueueFormat>::Ring<Mem>, Vec<OrderSlot>>;

/// A queue in memory that wants no reports, and its driver.
struct Rig<R: FromConfig, F: QueueFormat> {
    queue: Queue<R, Arc<NotificationCounter>>,
    driver: Driver<F>,
    mem: Mem,
    notifications: Arc<NotificationCounter>,
}

impl<R: FromConfig<Mem = Mem>, F: QueueFormat> Rig<R, F> {
    fn new(size: u16, features: u64, limits: QueueLimits) -> Self {
        let mem = Arc::new(HeapMem::new(DriverAddr(0x1000_0000), 1 << 18).unwrap());
        let driver = Driver::<F>::new(Arc::clone(&mem), size, DriverOptions { features, ..Default::default() });
        let notifications = Arc::new(NotificationCounter::new());
        let queue = Queue::new(&driver.queue_config(limits), Arc::clone(&mem), Arc::clone(&notifications)).unwrap();
        Self { queue, driver, mem, notifications }
    }

    fn add(&mut self, chains: &[DriverChain]) -> Vec<u16> {
        let ids = chains.iter().map(|chain| self.driver.stage(chain).unwrap()).collect();
        self.driver.publish();
        ids
    }

    fn gather<'m>(&mut self, mem: &'m Mem, limit: usize, access: Access) -> Chains<'m> {
        let mut chains = Chains::new();
        let gathered = self.queue.gather(limit, &**mem, access, &mut chains).unwrap();
        assert_eq!((gathered, gathered == 0), (chains.len(), chains.is_empty()));
        assert!(chains.pieces().all(|piece| (piece.access, piece.memory.access()) == (access, access)));
        chains
    }

    /// Completes as many chains as there are lengths.
    fn complete(&mut self, chains: &mut Chains<'_>, lens: &[u32]) -> Result<(), ReturnError> {
        let mut lens = lens.iter().copied();
        self.queue.complete_gathered(chains, |_| lens.next())
    }

    /// What the driver takes back: which chains, and how much was written into each.
    fn reap(&mut self) -> Vec<(u16, u32)> {
        self.driver.reap_all().unwrap().iter().map(|used| (used.id, used.len)).collect()
    }
}

fn writable(len: u32) -> DriverChain {
    DriverChain::new().writable(len)
}

fn lens(chains: &Chains<'_>) -> Vec<usize> {
    chains.pieces().map(|piece| piece.memory.len()).collect()
}

/// REG-6, SPLIT-UNOT-2, PACK-MB-1: what was gathered is in flight until it is completed. It is published and notified
/// of together, also where the ring comes to its end.
#[test]
fn gathered_chains_are_in_flight_and_returned_together() {
    fn check<F: QueueFormat>(features: u64) {
        let mut rig = Rig::<F::Ring<Mem>, F>::new(8, features, QueueLimits::default());
        let mem = Arc::clone(&rig.mem);
        for round in 0..40_u32 {
            let count = round % 6 + 1;
            let mut ids = rig.add(&(0..count).map(|n| writable(10 + n)).collect::<Vec<_>>());
            let mut first = 10;
            while !ids.is_empty() {
                // The end of the ring ends the gathering as well.
                let mut chains = rig.gather(&mem, 8, Access::Write);
                let written: Vec<_> = (first..).take(chains.len()).collect();
                assert!(!chains.is_empty());
                assert_eq!(lens(&chains), written.iter().map(|len| *len as usize).collect::<Vec<_>>());
                assert_eq!((usize::from(rig.queue.in_flight()), rig.reap()), (chains.len(), vec![]));
                rig.notifications.take();
                rig.complete(&mut chains, &written).unwrap();
                assert!(chains.is_empty() && rig.notifications.count() <= 1);
                let later = ids.split_off(written.len());
                first += written.len() as u32;
                assert_eq!((rig.queue.in_flight(), rig.reap()), (0, ids.into_iter().zip(written).collect()));
                ids = later;
            }
            assert!(rig.gather(&mem, 8, Access::Write).is_empty());
        }
    }
    for_each_format!(check(EVENT_IDX));
}

/// REG-6, PACK-WRAP-9: chains that are in flight all the time let the used positions lag behind. So chains that are
/// returned together are used on both sides of the ring's end.
#[test]
fn gathered_chains_are_used_across_end_of_ring() {
    fn check<F: QueueFormat>(features: u64) {
        let mut rig = Rig::<F::Ring<Mem>, F>::new(8, features, QueueLimits::default());
        let mem = Arc::clone(&rig.mem);
        rig.add(&[(); 3].map(|()| writable(1)));
        let _in_flight = [(); 3].map(|()| fetch(&mut rig.queue));
        for round in 0..20 {
            let ids = rig.add(&[(); 5].map(|()| writable(20)));
            let mut chains = Vec::new();
            while let Some(gathered) = Some(rig.gather(&mem, 8, Access::Write)).filter(|chains| !chains.is_empty()) {
                chains.push(gathered);
            }
            for gathered in &mut chains {
                rig.complete(gathered, &[round; 8]).unwrap();
            }
            assert_eq!(rig.reap(), ids.into_iter().map(|id| (id, round)).collect::<Vec<_>>());
        }
    }
    for_each_format!(check(0));
}

/// REG-6: a chain that the device does not complete with the others stays in flight, and so do those after it. It can
/// be taken out and completed by itself, in any order.
#[test]
fn chain_that_is_left_out_stays_in_flight() {
    fn check<F: QueueFormat>(features: u64) {
        let mut rig = Rig::<F::Ring<Mem>, F>::new(8, features, QueueLimits::default());
        let mem = Arc::clone(&rig.mem);
        let ids = rig.add(&[11, 12, 13, 14, 15].map(writable));
        let mut chains = rig.gather(&mem, 8, Access::Write);
        rig.complete(&mut chains, &[11]).unwrap();
        assert_eq!((lens(&chains), rig.queue.in_flight()), (vec![12, 13, 14, 15], 4));
        let alone = chains.pop().unwrap();
        rig.complete(&mut chains, &[13, 14]).unwrap();
        assert_eq!((lens(&chains), rig.queue.in_flight()), (vec![15], 2));
        rig.add(&[writable(6)]);
        assert_eq!(rig.queue.gather(8, &*mem, Access::Write, &mut chains), Ok(0));
        let last = chains.pop().unwrap();
        assert!(chains.pop().is_none());
        rig.queue.complete(last, 15).unwrap();
        rig.queue.complete(alone, 12).unwrap();
        let order = [(0, 11), (2, 13), (3, 14), (4, 15), (1, 12)];
        assert_eq!((rig.queue.in_flight(), rig.reap()), (0, order.map(|(chain, len)| (ids[chain], len)).into()));
        assert_eq!(rig.queue.gather(8, &*mem, Access::Write, &mut chains), Ok(1));
        assert_eq!(lens(&chains), [6]);
    }
    for_each_format!(check(0));
}

/// REG-6: chains that are dropped stay in flight, and no more are gathered than there is room for.
#[test]
fn dropped_chains_stay_in_flight() {
    fn check<F: QueueFormat>(features: u64) {
        let mut rig = Rig::<F::Ring<Mem>, F>::new(8, features, QueueLimits::default());
        let mem = Arc::clone(&rig.mem);
        rig.add(&[1, 2, 3].map(writable));
        assert_eq!(rig.queue.gather(8, &*mem, Access::Write, &mut Gathered::<2>::default()), Ok(2));
        assert_eq!(
            (lens(&rig.gather(&mem, 8, Access::Write)), rig.queue.in_flight(), rig.reap()),
            (vec![3], 3, vec![])
        );
    }
    for_each_format!(check(0));
}

/// HOST-28, HOST-14: a chain that is anything but one element for such an access, in one piece, ends the gathering. It
/// goes the usual way.
#[test]
fn other_chain_ends_gathering() {
    fn check<F: QueueFormat>(features: u64) {
        let others = [
            DriverChain::new().readable(b"?"),
            DriverChain::new().readable(b"?").writable(1),
            DriverChain::new().writable_cut(8, &[4]),
            DriverChain::new().writable(4).indirect(),
            DriverChain::new().writable(0),
        ];
        for other in others {
            let mut rig = Rig::<F::Ring<Mem>, F>::new(16, features | INDIRECT_DESC, QueueLimits::default());
            let mem = Arc::clone(&rig.mem);
            let ids = rig.add(&[writable(1), writable(2), other, writable(3)]);
            assert!(rig.gather(&mem, 8, Access::Read).is_empty());
            assert!(rig.gather(&mem, 8, Access::ReadWrite).is_empty());
            assert_eq!(lens(&rig.gather(&mem, 1, Access::Write)), [1]);
            assert_eq!(lens(&rig.gather(&mem, 8, Access::Write)), [2]);
            assert_eq!(lens(&rig.gather(&mem, 8, Access::Write)), [0; 0]);
            assert_eq!(fetch(&mut rig.queue).id(), ids[2]);
            assert_eq!(lens(&rig.gather(&mem, 8, Access::Write)), [3]);
            assert_eq!(lens(&rig.gather(&mem, 8, Access::Write)), [0; 0]);
        }
    }
    for_each_format!(check(0));
}

/// HOST-4, INV-5: the driver cannot have made more available than there is room for beside what was gathered.
#[test]
fn gathered_chains_count_against_driver() {
    let mut rig = Rig::<SplitRing<Mem>, Split>::new(4, 0, QueueLimits::default());
    let mem = Arc::clone(&rig.mem);
    rig.add(&[writable(1), writable(1), writable(1)]);
    let mut chains = rig.gather(&mem, 8, Access::Write);
    rig.driver.raw().set_available_index(6);
    let gathered = rig.queue.gather(8, &*mem, Access::Write, &mut Chains::new());
    let fault = FatalError::Oversubscribed { available: 3, in_flight: 3, size: 4 };
    assert_eq!(gathered, Err(fault));
    let refused = rig.complete(&mut chains, &[1; 3]);
    assert_eq!((refused, rig.queue.in_flight()), (Err(ReturnError::Broken(fault)), 0));
    assert_eq!(rig.queue.gather(8, &*mem, Access::Write, &mut chains), Ok(0));
    assert_eq!(rig.reap(), []);
}

/// QRST-8: chains of another queue are refused, and not lost.
#[test]
fn chains_of_another_queue_are_refused() {
    fn check<R: FromConfig<Mem = Mem>, F: QueueFormat>(features: u64) {
        let [mut rig, mut other] = [(); 2].map(|()| Rig::<R, F>::new(8, features, QueueLimits::default()));
        let mem = Arc::clone(&rig.mem);
        let ids = rig.add(&[writable(5), writable(6)]);
        other.add(&[writable(5), writable(6)]);
        let mut chains = rig.gather(&mem, 8, Access::Write);
        let other_mem = Arc::clone(&other.mem);
        let others = other.gather(&other_mem, 8, Access::Write);
        let stale = Err(ReturnError::Stale { id: ids[0] });
        assert_eq!((other.complete(&mut chains, &[5, 6]), other.queue.in_flight(), others.len()), (stale, 2, 2));
        assert_eq!(other.reap(), []);
        rig.complete(&mut chains, &[5, 6]).unwrap();
        assert_eq!((rig.queue.in_flight(), rig.reap()), (0, vec![(ids[0], 5), (ids[1], 6)]));
    }
    fn check_both<F: QueueFormat>(features: u64) {
        check::<F::Ring<Mem>, F>(features);
        check::<Ordered<F>, F>(features | IN_ORDER);
    }
    for_each_format!(check_both(0));
}

/// INV-3: with a token that is used twice, more chains can be returned than there are. The rest is refused, and the
/// count does not wrap around.
#[test]
fn chains_that_tokens_returned_are_refused() {
    fn check<F: QueueFormat>(features: u64) {
        let mut rig = Rig::<F::Ring<Mem>, F>::new(8, features, QueueLimits::default());
        let mem = Arc::clone(&rig.mem);
        let ids = rig.add(&[writable(7), writable(8)]);
        let mut chains = rig.gather(&mem, 8, Access::Write);
        let number = chains.pop().unwrap().into_u64();
        for _ in 0..2 {
            rig.queue.complete(Token::from_u64(number), 7).unwrap();
        }
        assert_eq!(rig.complete(&mut chains, &[8]), Err(ReturnError::Stale { id: ids[1] }));
        assert_eq!((rig.queue.in_flight(), chains.len()), (0, 1));
    }
    for_each_format!(check(0));
}

/// INV-3, SPLIT-ORD-1: a gathered chain that a made-up token has returned is refused, and is not counted again.
#[test]
fn chain_that_made_up_token_returned_is_refused_in_order() {
    fn check<F: QueueFormat>(features: u64) {
        let mut rig = Rig::<Ordered<F>, F>::new(8, features | IN_ORDER, QueueLimits::default());
        let mem = Arc::clone(&rig.mem);
        let ids = rig.add(&[writable(7), writable(8)]);
        let mut chains = rig.gather(&mem, 8, Access::Write);
        let first = chains.pop().unwrap().into_u64();
        // The second chain was fetched one position later.
        let second = first + (1 << 16) - u64::from(ids[0]) + u64::from(ids[1]);
        rig.queue.complete(Token::from_u64(second), 8).unwrap();
        assert_eq!(rig.complete(&mut chains, &[8]), Err(ReturnError::Stale { id: ids[1] }));
        assert_eq!((rig.queue.in_flight(), chains.len()), (1, 0));
        rig.queue.complete(Token::from_u64(first), 7).unwrap();
        assert_eq!((rig.queue.in_flight(), rig.reap()), (0, vec![(ids[0], 7), (ids[1], 8)]));
    }
    for_each_format!(check(0));
}

/// INV-3: a device that panics while it completes leaves a queue that is broken.
#[test]
fn panic_while_completing_breaks_queue() {
    fn check<F: QueueFormat>(features: u64) {
        let mut rig = Rig::<F::Ring<Mem>, F>::new(8, features, QueueLimits::default());
        let mem = Arc::clone(&rig.mem);
        rig.add(&[writable(5), writable(6)]);
        let mut chains = rig.gather(&mem, 8, Access::Write);
        let panics = AssertUnwindSafe(|| {
            let mut lens = iter::once(5);
            rig.queue.complete_gathered(&mut chains, |_| lens.next().or_else(|| resume_unwind(Box::new(()))))
        });
        assert!(catch_unwind(panics).is_err());
        assert_eq!((rig.queue.fault(), rig.reap()), (Some(FatalError::Panicked), vec![]));
    }
    for_each_format!(check(0));
}

/// SPLIT-ORD-1, PACK-INO-1: a gathered chain that is returned later than the ones after it holds them back.
#[test]
fn chain_that_is_left_out_holds_later_ones_back() {
    fn check<F: QueueFormat>(features: u64) {
        let mut rig = Rig::<Ordered<F>, F>::new(8, features | IN_ORDER, QueueLimits::default());
        let mem = Arc::clone(&rig.mem);
        let ids = rig.add(&[4, 5, 6, 7].map(writable));
        let mut chains = rig.gather(&mem, 8, Access::Write);
        rig.complete(&mut chains, &[4]).unwrap();
        let alone = chains.pop().unwrap();
        rig.complete(&mut chains, &[2, 7]).unwrap();
        assert_eq!((rig.queue.in_flight(), rig.reap()), (1, vec![(ids[0], 4)]));
        rig.queue.complete(alone, 5).unwrap();
        // The short one has a used element of its own.
        assert_eq!((rig.queue.in_flight(), rig.reap()), (0, vec![(ids[1], 5), (ids[2], 2), (ids[3], 7)]));
    }
    for_each_format!(check(0));
}

/// INV-5, SPLIT-ORD-1, PACK-INO-1: what is held back is in flight for the driver. The rest of the ring can be gathered.
#[test]
fn as_much_is_gathered_as_is_left_beside_chains_held_back() {
    fn check<F: QueueFormat>(features: u64) {
        let mut rig = Rig::<Ordered<F>, F>::new(8, features | IN_ORDER, QueueLimits::default());
        let mem = Arc::clone(&rig.mem);
        rig.add(&[(); 5].map(|()| writable(1)));
        let [first, second, third, fourth, fifth] = [(); 5].map(|()| fetch(&mut rig.queue));
        [second, third, fourth].into_iter().for_each(|token| rig.queue.complete(token, 1).unwrap());
        rig.add(&[6, 7, 8].map(writable));
        let mut chains = rig.gather(&mem, 8, Access::Write);
        assert_eq!((lens(&chains), rig.queue.in_flight()), (vec![6, 7, 8], 5));
        [first, fifth].into_iter().for_each(|token| rig.queue.complete(token, 1).unwrap());
        rig.complete(&mut chains, &[6, 7, 8]).unwrap();
        assert_eq!(rig.reap().iter().map(|used| used.1).collect::<Vec<_>>(), [1, 1, 1, 1, 1, 6, 7, 8]);
    }
    for_each_format!(check(0));
}

/// SPLIT-ORD-5, PACK-INO-3: a buffer that was used completely is skipped, as is one that has no writable part. One that
/// was not is the last of its batch: a short frame in a long buffer has a used element of its own.
#[test]
fn short_frames_have_used_elements_of_their_own() {
    fn check<F: QueueFormat>(features: u64) {
        let cases: [(&[u32], &[u32]); 4] = [
            (&[8, 8, 8, 8], &[8, 8, 8, 8]),
            (&[3, 3, 3, 3], &[3, 3, 3, 3]),
            (&[8, 3, 8, 8], &[8, 3, 8, 8]),
            (&[3, 8, 8, 0], &[3, 8, 8, 0]),
        ];
        for (lens, seen) in cases {
            let mut rig = Rig::<Ordered<F>, F>::new(8, features | IN_ORDER, QueueLimits::default());
            let mem = Arc::clone(&rig.mem);
            rig.add(&[(); 4].map(|()| writable(8)));
            let mut chains = rig.gather(&mem, 8, Access::Write);
            rig.complete(&mut chains, lens).unwrap();
            let used: Vec<_> = rig.reap().into_iter().map(|(_, len)| len).collect();
            assert_eq!(used, seen, "{lens:?}");
        }
        let mut rig = Rig::<Ordered<F>, F>::new(8, features | IN_ORDER, QueueLimits::default());
        let mem = Arc::clone(&rig.mem);
        for _ in 0..5 {
            rig.add(&[(); 3].map(|()| DriverChain::new().readable(b"packet")));
            // The end of the ring ends the gathering as well.
            let mut gathered = [(); 2].map(|()| rig.gather(&mem, 8, Access::Read));
            gathered.iter_mut().for_each(|chains| rig.complete(chains, &[0; 3]).unwrap());
            assert_eq!((rig.reap().len(), rig.queue.in_flight()), (3, 0));
        }
    }
    for_each_format!(check(0));
}
