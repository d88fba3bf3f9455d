//! The driver in one thread and the device in another, each of which sleeps when it has nothing to do.

use core::time::Duration;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use static_assertions::{assert_impl_all, assert_not_impl_any};
use virtio_fake_driver::features::{EVENT_IDX, INDIRECT_DESC};
use virtio_fake_driver::{Any, Driver, DriverOptions, Format, Packed, QueueFormat, Split};
use virtio_mem_traits::{DriverAddr, HeapMem};
use virtio_queue_core::{Armed, DriverNotify, Queue, QueueLimits};
use virtio_util::RegionTable;

use crate::support::{answer_to, serve};

assert_impl_all!(Driver<Split>: Send);
assert_impl_all!(Driver<Packed>: Send);
assert_impl_all!(Driver<Any>: Send);
assert_impl_all!(Driver<Any, Arc<RegionTable<Arc<HeapMem>>>>: Send);
assert_impl_all!(Driver<Any, &'static HeapMem>: Send);
assert_not_impl_any!(Driver<Any, Rc<HeapMem>>: Send);

const CHAINS: usize = 1_000;

/// An interrupt line.
struct Line(Sender<()>);

impl DriverNotify for Line {
    fn notify(&self) {
        // A driver that has got everything listens no more.
        let _ = self.0.send(());
    }
}

fn wait(line: &Receiver<()>) {
    line.recv_timeout(Duration::from_secs(20)).expect("a notification was lost, or the other side has failed");
}

fn run_driver(mut driver: Driver<impl Format>, kick: &Sender<()>, interrupt: &Receiver<()>) {
    let mut traffic = driver.traffic(9, 40).take(CHAINS).peekable();
    let mut expected = vec![None; usize::from(driver.size())];
    let mut received = 0;
    while received < CHAINS {
        while let Some(Ok(id)) = traffic.peek().map(|chain| driver.add(chain)) {
            expected[usize::from(id)] = Some(answer_to(&traffic.next().unwrap()));
            if driver.needs_kick() {
                kick.send(()).unwrap();
            }
        }
        driver.disable_interrupts();
        for used in driver.reap_all().unwrap() {
            assert_eq!(used.written(), expected[usize::from(used.id)].take().unwrap());
            received += 1;
        }
        let more = driver.in_flight().saturating_sub(1) / 2;
        let ready = if received % 3 == 0 { driver.enable_interrupts() } else { driver.enable_interrupts_after(more) };
        if driver.in_flight() != 0 && !ready {
            wait(interrupt);
        }
    }
}

fn check<F: QueueFormat>(features: u64, size: u16)
where
    Driver<F>: Send,
{
    let mem = Arc::new(HeapMem::new(DriverAddr(0x1000), 0x1_0000).unwrap());
    let options = DriverOptions { features, scramble: Some(5), ..Default::default() };
    let driver = Driver::<F>::new(mem.clone(), size, options);
    let (kick, kicked) = channel();
    let (interrupt, interrupted) = channel();
    let config = driver.queue_config(QueueLimits::default());
    let mut queue = Queue::<F::Ring<_>, _>::new(&config, mem, Line(interrupt)).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || run_driver(driver, &kick, &interrupted));
        let mut served = 0;
        while served < CHAINS {
            queue.suppress_notifications();
            served += serve(&mut queue).unwrap();
            if queue.enable_notifications() == Ok(Armed::Waiting) && served < CHAINS {
                wait(&kicked);
            }
        }
    });
}

/// No kick and no interrupt is lost. This is a stress test: it shows nothing about a fence that is hardly ever needed.
#[test]
fn driver_and_device_in_two_threads_never_sleep_both() {
    for features in [0, EVENT_IDX, INDIRECT_DESC | EVENT_IDX] {
        for size in [1, 2, 8, 64] {
            check::<Split>(features, size);
        }
        for size in [1, 2, 7, 64] {
            check::<Packed>(features, size);
        }
    }
}
