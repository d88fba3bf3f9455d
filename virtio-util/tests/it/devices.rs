//! Devices whose requests end in another order than that in which they came, on the queue for either format.

use core::time::Duration;
use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;
use virtio_queue_core::FatalError;
use virtio_util::DescChainStream;

use crate::rig::{FORMATS, Owned, Rig, answer, byte_of};
use crate::watchdog::Watchdog;

/// How many hundredths of a second each request takes.
const TIMES: [u8; 5] = [50, 10, 30, 0, 20];
const IN_ORDER: [(u8, u32); 5] = [(0, 1), (10, 1), (20, 1), (30, 1), (50, 1)];

fn time_of(chain: &Owned) -> Duration {
    Duration::from_millis(10 * u64::from(byte_of(chain)))
}

/// The order is that of the virtual time alone.
#[tokio::test(start_paused = true)]
async fn requests_end_in_the_order_of_a_clock_that_is_paused() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let requests = TIMES.map(|time| {
            let chain = rig.fetch(time);
            tokio::spawn(async move {
                tokio::time::sleep(time_of(&chain)).await;
                answer(chain);
            })
        });
        for request in requests {
            request.await.unwrap();
        }
        assert_eq!(rig.used(), IN_ORDER);
    }
}

/// A request that is being worked on: its time, and what ends it.
type Begun<D> = (u8, D);

/// Waits until so many requests more are being worked on.
fn begun_in<D>(waiting: &mpsc::Receiver<Begun<D>>, count: usize) -> Vec<Begun<D>> {
    waiting.iter().take(count).collect()
}

/// Ends a request, and returns what the driver sees of that.
fn end<D>((_, done): Begun<D>, rig: &mut Rig) -> (u8, u32) {
    drop(done);
    loop {
        if let Some(used) = rig.used().pop() {
            return used;
        }
        thread::yield_now();
    }
}

/// INV-4: the order is that in which the requests end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_an_asynchronous_device_end_in_the_order_of_their_times() {
    let _watchdog = Watchdog::new();
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let mut chains = DescChainStream::new(rig.queue.clone());
        let (begun, waiting) = mpsc::channel();
        let device = tokio::spawn(async move {
            while let Some(chain) = chains.next_chain().await? {
                let (done, wait) = oneshot::channel::<()>();
                begun.send((byte_of(&chain), done)).unwrap();
                tokio::spawn(async move {
                    let _ = wait.await;
                    answer(chain);
                });
            }
            Ok::<_, FatalError>(())
        });
        for time in TIMES {
            if rig.offer(time) {
                rig.queue.wake();
            }
        }
        let mut requests = begun_in(&waiting, TIMES.len());
        requests.sort_unstable_by_key(|(time, _)| *time);
        let used: Vec<_> = requests.into_iter().map(|request| end(request, &mut rig)).collect();
        assert_eq!(used, IN_ORDER);
        rig.queue.reset();
        device.await.unwrap().unwrap();
    }
}

/// INV-4: the times are those at which a disk would say that it is done, in that order.
#[test]
fn requests_of_a_pool_of_threads_end_in_the_order_of_their_times() {
    let _watchdog = Watchdog::new();
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let (begun, waiting) = mpsc::channel();
        let pool = [(); 4].map(|()| {
            let (queue, begun) = (rig.queue.clone(), begun.clone());
            thread::spawn(move || {
                while let Some(chain) = queue.wait_chain().unwrap() {
                    let (done, wait) = mpsc::channel::<()>();
                    begun.send((byte_of(&chain), done)).unwrap();
                    let _ = wait.recv();
                    answer(chain);
                }
            })
        });
        TIMES.iter().for_each(|time| _ = rig.offer(*time));
        rig.queue.wake();
        // Four are being worked on, whichever thread has which. The one that takes no time makes way for the fifth.
        let mut requests: Vec<_> = begun_in(&waiting, 4);
        requests.sort_unstable_by_key(|(time, _)| *time);
        let mut used = vec![end(requests.remove(0), &mut rig)];
        requests.extend(begun_in(&waiting, 1));
        requests.sort_unstable_by_key(|(time, _)| *time);
        used.extend(requests.into_iter().map(|request| end(request, &mut rig)));
        assert_eq!(used, IN_ORDER);
        rig.queue.reset();
        pool.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
