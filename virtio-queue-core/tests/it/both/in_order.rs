//! Buffers used in order, on rings of either format: what is held back, what is put together, and what a driver makes
//! of it.

mod batches;
mod events;
mod hostile;
mod negotiation;
mod order;
mod tokens;
mod traffic;

use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::features::IN_ORDER;
use virtio_fake_driver::packed::RawPacked;
use virtio_fake_driver::split::RawSplit;
use virtio_fake_driver::{Driver, DriverChain, DriverOptions, MemEvent, Packed, QueueFormat, Split, TestMem};
use virtio_mem_traits::{DriverAddr, HeapMem};
use virtio_queue_core::{InOrderRing, OrderSlot, OrderStorage, Queue, QueueLimits, Token};
use virtio_util::NotificationCounter;

use crate::support::fetch;

/// Room for eight, and for any number.
type Few = [OrderSlot; 8];
type Many = Vec<OrderSlot>;

type Mem = Rc<TestMem>;

type TestQueue<F, S> = Queue<InOrderRing<<F as QueueFormat>::Ring<Mem>, S>, Arc<NotificationCounter>>;

/// A queue that keeps the order, and its driver.
struct Rig<F: QueueFormat, S: OrderStorage> {
    queue: TestQueue<F, S>,
    driver: Driver<F>,
    mem: Mem,
    notifications: Arc<NotificationCounter>,
}

impl<F: QueueFormat, S: OrderStorage> Rig<F, S> {
    fn new(size: u16, features: u64) -> Self {
        let memory_len = if size > 256 { 1 << 20 } else { 1 << 18 };
        let heap = Arc::new(HeapMem::new(DriverAddr(0x1000_0000), memory_len).unwrap());
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

    /// Sends buffers of one descriptor each through the queue, so that what follows begins that far into the ring.
    fn advance(&mut self, count: u32) {
        for _ in 0..count {
            self.driver.add(&DriverChain::new().writable(1)).unwrap();
            self.queue.next_chain().unwrap().unwrap().return_written(1).unwrap();
            assert_eq!(self.reap(), [1]);
        }
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
            $check::<virtio_fake_driver::Split, $crate::both::in_order::Few>($features);
            $check::<virtio_fake_driver::Split, $crate::both::in_order::Many>($features);
            $check::<virtio_fake_driver::Packed, $crate::both::in_order::Few>($features);
            $check::<virtio_fake_driver::Packed, $crate::both::in_order::Many>($features);
            $check::<virtio_fake_driver::Any, $crate::both::in_order::Few>($features);
            $check::<virtio_fake_driver::Any, $crate::both::in_order::Many>(
                $features | virtio_fake_driver::features::RING_PACKED,
            );
        )*
    };
}

use for_each_ring;

/// A chain with room for so many bytes, in two elements, behind a readable one.
fn chain(len: u32) -> DriverChain {
    DriverChain::new().readable(b"?").writable_cut(len, &[len / 2])
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

/// What the device wrote, of all that is in a log.
fn writes(log: Vec<MemEvent>) -> Vec<MemEvent> {
    log.into_iter().filter(|event| matches!(event, MemEvent::Written(_))).collect()
}
