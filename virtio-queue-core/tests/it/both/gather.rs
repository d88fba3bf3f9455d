//! [`Queue::gather`] and [`Queue::complete_all`]: chains of one element, many at a time.

use core::panic::AssertUnwindSafe;
use std::panic::{catch_unwind, resume_unwind};
use std::sync::Arc;

use virtio_fake_driver::features::{EVENT_IDX, IN_ORDER, INDIRECT_DESC};
use virtio_fake_driver::{Driver, DriverChain, DriverOptions, QueueFormat};
use virtio_mem_traits::{Access, DriverAddr, HeapMem};
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{
    FatalError, FromConfig, Gathered, InOrderRing, OrderSlot, Queue, QueueLimits, ReturnError, Token,
};
use virtio_util::NotificationCounter;

use crate::support::{fetch, for_each_format};

type Mem = Arc<HeapMem>;
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

    fn gather(&mut self, limit: usize, access: Access) -> Vec<Gathered<'_>> {
        let mut batch = Vec::new();
        let gathered = self.queue.gather(limit, &*self.mem, access, |chain| batch.push(chain)).unwrap();
        assert_eq!(gathered, batch.len());
        batch
    }

    /// Gathers, and returns the lengths of what was gathered, with the tokens.
    fn gather_tokens(&mut self, limit: usize, access: Access) -> (Vec<usize>, Vec<Token>) {
        let batch = self.gather(limit, access);
        assert!(batch.iter().all(|chain| chain.piece().access == access));
        batch.into_iter().map(|chain| (chain.memory().len(), chain.into_token())).unzip()
    }

    /// What the driver takes back: which chains, and how much was written into each.
    fn reap(&mut self) -> Vec<(u16, u32)> {
        self.driver.reap_all().unwrap().iter().map(|used| (used.id, used.len)).collect()
    }
}

fn writable(len: u32) -> DriverChain {
    DriverChain::new().writable(len)
}

/// REG-6, SPLIT-UNOT-2, PACK-MB-1: what was gathered is in flight until it is completed, in any order. It is published
/// and notified of together, also where the ring comes to its end.
#[test]
fn gathered_chains_are_in_flight_and_returned_together() {
    fn check<F: QueueFormat>(features: u64) {
        let mut rig = Rig::<F::Ring<Mem>, F>::new(8, features, QueueLimits::default());
        for round in 0..40_u32 {
            let count = round % 6 + 1;
            let ids = rig.add(&(0..count).map(|n| writable(10 + n)).collect::<Vec<_>>());
            let mut tokens = Vec::new();
            while tokens.len() < count as usize {
                // The end of the ring ends the gathering as well.
                let (lens, mut gathered) = rig.gather_tokens(8, Access::Write);
                assert!(!gathered.is_empty());
                assert!((tokens.len()..).zip(lens).all(|(n, len)| len == 10 + n));
                tokens.append(&mut gathered);
            }
            assert_eq!((rig.queue.in_flight(), rig.reap()), (count as u16, vec![]));
            assert!(rig.gather(8, Access::Write).is_empty());
            tokens.rotate_left(1);
            rig.notifications.take();
            rig.queue.complete_all(tokens.into_iter().zip(1..)).unwrap();
            let mut used: Vec<_> = ids.into_iter().collect();
            used.rotate_left(1);
            assert_eq!(rig.reap(), used.into_iter().zip(1..).collect::<Vec<_>>());
            assert_eq!((rig.queue.in_flight(), rig.notifications.count() <= 1), (0, true));
        }
    }
    for_each_format!(check(EVENT_IDX));
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
            let ids = rig.add(&[writable(1), writable(2), other, writable(3)]);
            assert!(rig.gather(8, Access::Read).is_empty());
            assert!(rig.gather(8, Access::ReadWrite).is_empty());
            assert_eq!(rig.gather_tokens(1, Access::Write).0, [1]);
            assert_eq!(rig.gather_tokens(8, Access::Write).0, [2]);
            assert_eq!(rig.gather_tokens(8, Access::Write).0, []);
            assert_eq!(fetch(&mut rig.queue).id(), ids[2]);
            assert_eq!(rig.gather_tokens(8, Access::Write).0, [3]);
            assert_eq!(rig.gather_tokens(8, Access::Write).0, []);
        }
    }
    for_each_format!(check(0));
}

/// HOST-4, INV-5: the driver cannot have made more available than there is room for beside what was gathered.
#[test]
fn gathered_chains_count_against_driver() {
    let mut rig = Rig::<SplitRing<Mem>, virtio_fake_driver::Split>::new(4, 0, QueueLimits::default());
    rig.add(&[writable(1), writable(1), writable(1)]);
    let (_, tokens) = rig.gather_tokens(8, Access::Write);
    rig.driver.raw().set_available_index(6);
    let gathered = rig.queue.gather(8, &*rig.mem, Access::Write, drop);
    let fault = FatalError::Oversubscribed { available: 3, in_flight: 3, size: 4 };
    assert_eq!(gathered, Err(fault));
    let refused = rig.queue.complete_all(tokens.into_iter().map(|token| (token, 1)));
    assert_eq!((refused, rig.queue.in_flight()), (Err(ReturnError::Broken(fault)), 0));
    assert_eq!(rig.queue.gather(8, &*rig.mem, Access::Write, drop), Ok(0));
    assert_eq!(rig.reap(), []);
}

/// QRST-8: a token that is stale is refused, and the others are completed.
#[test]
fn stale_token_among_others_is_refused() {
    fn check<R: FromConfig<Mem = Mem>, F: QueueFormat>(features: u64) {
        let mut rig = Rig::<R, F>::new(8, features, QueueLimits::default());
        let ids = rig.add(&[writable(5), writable(6)]);
        let (_, mut tokens) = rig.gather_tokens(8, Access::Write);
        tokens.insert(1, Token::from_u64(0xfffe << 48 | 1 << 32 | 77));
        let completed = rig.queue.complete_all(tokens.into_iter().zip([5, 9, 6]));
        assert_eq!((completed, rig.queue.in_flight()), (Err(ReturnError::Stale { id: 77 }), 0));
        assert_eq!(rig.reap(), [(ids[0], 5), (ids[1], 6)]);
    }
    fn check_both<F: QueueFormat>(features: u64) {
        check::<F::Ring<Mem>, F>(features);
        check::<Ordered<F>, F>(features | IN_ORDER);
    }
    for_each_format!(check_both(0));
}

/// INV-3: a device that panics while it gathers, or completes, leaves a queue that is broken.
#[test]
fn panic_while_gathering_breaks_queue() {
    fn check<F: QueueFormat>(features: u64) {
        for completing in [false, true] {
            let mut rig = Rig::<F::Ring<Mem>, F>::new(8, features, QueueLimits::default());
            rig.add(&[writable(5), writable(6)]);
            let tokens = if completing { rig.gather_tokens(1, Access::Write).1 } else { Vec::new() };
            let panics = AssertUnwindSafe(|| {
                let panic = |_: &Token| resume_unwind(Box::new(()));
                let _ = rig.queue.complete_all(tokens.into_iter().inspect(panic).map(|token| (token, 0)));
                rig.queue.gather(8, &*rig.mem, Access::Write, |_| resume_unwind(Box::new(())))
            });
            assert!(catch_unwind(panics).is_err());
            assert_eq!((rig.queue.fault(), rig.reap()), (Some(FatalError::Panicked), vec![]));
        }
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
            rig.add(&[(); 4].map(|()| writable(8)));
            let (_, tokens) = rig.gather_tokens(8, Access::Write);
            rig.queue.complete_all(tokens.into_iter().zip(lens.iter().copied())).unwrap();
            let used: Vec<_> = rig.reap().into_iter().map(|(_, len)| len).collect();
            assert_eq!(used, seen, "{lens:?}");
        }
        let mut rig = Rig::<Ordered<F>, F>::new(8, features | IN_ORDER, QueueLimits::default());
        for _ in 0..5 {
            rig.add(&[(); 3].map(|()| DriverChain::new().readable(b"packet")));
            // The end of the ring ends the gathering as well.
            let [mut tokens, mut later] = [(); 2].map(|()| rig.gather_tokens(8, Access::Read).1);
            tokens.append(&mut later);
            rig.queue.complete_all(tokens.into_iter().map(|token| (token, 0))).unwrap();
            assert_eq!((rig.reap().len(), rig.queue.in_flight()), (3, 0));
        }
    }
    for_each_format!(check(0));
}
