//! The devices under test: they answer in upper case, each in another shape.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter_test_support::answer;
use tokio::runtime::{Builder, Runtime};
use virtio_queue_core::{Chain, FatalError};
use virtio_vhost_user::{Device, KeptChain, VhostUserDevice, Worker};

/// A device that serves its queues with what a function returns.
pub(crate) struct TestDevice(Box<dyn Fn() -> Worker + Send + Sync>);

impl TestDevice {
    pub(crate) fn new(worker: impl Fn() -> Worker + Send + Sync + 'static) -> Self {
        Self(Box::new(worker))
    }
}

impl VhostUserDevice for TestDevice {
    const TYPE: &'static str = "console";
    const CAPABILITIES: &'static [&'static str] = &["upper-case"];

    fn worker(&self, _queue: usize, _features: u64) -> Worker {
        (self.0)()
    }

    fn num_queues(&self) -> usize {
        2
    }
}

/// Answers while it is called, in rings of either format.
struct Compiled;

impl Device for Compiled {
    type Error = FatalError;

    fn process(&mut self, chain: impl Chain) -> Result<u64, FatalError> {
        answer(chain);
        Ok(0)
    }
}

fn runtime() -> Arc<Runtime> {
    Arc::new(Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap())
}

fn spawning(runtime: &Arc<Runtime>) -> Worker {
    let runtime = Arc::clone(runtime);
    Worker::asynchronous(move |mut chains| {
        let runtime = Arc::clone(&runtime);
        async move {
            while let Some(chain) = chains.next_chain().await {
                runtime.spawn(async move {
                    tokio::time::sleep(Duration::from_micros(50)).await;
                    answer(chain);
                });
            }
        }
    })
}

/// Waits until there is a chain before it takes one.
fn waiting() -> Worker {
    Worker::asynchronous(|mut chains| async move {
        while chains.available().await {
            // The driver still has it.
            tokio::task::yield_now().await;
            chains.next_chain().await.into_iter().for_each(answer);
        }
    })
}

/// Returns a device of each shape, with its name.
pub(crate) fn all() -> Vec<(&'static str, TestDevice)> {
    let runtime = runtime();
    vec![
        ("at once", TestDevice::new(|| Worker::at_once(|chain| answer(chain)))),
        ("compiled for each format", TestDevice::new(|| Worker::serve(Compiled))),
        ("deferred", TestDevice::new(|| Worker::deferred(answer))),
        ("waiting", TestDevice::new(waiting)),
        ("asynchronous", TestDevice::new(move || spawning(&runtime))),
    ]
}

/// A device, its chains, and whether it was asked to put chains back.
pub(crate) type HandingOver = (TestDevice, Receiver<KeptChain>, Receiver<()>);

/// Returns a device that hands its chains over to the test.
pub(crate) fn handing_over() -> HandingOver {
    handing_over_as(|worker| worker)
}

/// Returns one whose worker is made from another one.
pub(crate) fn handing_over_as(make: impl Fn(Worker) -> Worker + Send + Sync + 'static) -> HandingOver {
    let ((sender, chains), (asks, asked)) = (channel(), channel());
    let device = TestDevice::new(move || {
        let (sender, asks) = (sender.clone(), asks.clone());
        let begun = Worker::on_stop(move |_| asks.send(()).unwrap_or_default());
        make(begun.deferred(move |chain| drop(sender.send(chain))))
    });
    (device, chains, asked)
}

/// Returns a device that keeps its chains, and puts them back when it is asked to. It calls `take` on the thread of the
/// queue, with a chain in its hands, and `ask` when it is asked to put back.
pub(crate) fn keeping_with(
    take: impl Fn(usize) + Send + Sync + 'static,
    ask: impl Fn() + Send + Sync + 'static,
) -> TestDevice {
    let (take, ask) = (Arc::new(take), Arc::new(ask));
    TestDevice::new(move || {
        let kept: Arc<Mutex<Vec<KeptChain>>> = Arc::default();
        let (keep, take, ask) = (Arc::clone(&kept), Arc::clone(&take), Arc::clone(&ask));
        let put_back = move |_| {
            ask();
            while let Some(chain) = kept.lock().unwrap().pop() {
                let _ = chain.unfetch();
            }
        };
        Worker::on_stop(put_back).deferred(move |chain| {
            let count = keep.lock().unwrap().len();
            take(count);
            keep.lock().unwrap().push(chain);
        })
    })
}

/// Returns a device that keeps its chains without work to do, and puts them back when it is asked to.
pub(crate) fn keeping() -> (TestDevice, Receiver<()>) {
    let kept: Arc<Mutex<Vec<KeptChain>>> = Arc::default();
    let (sender, taken): (Sender<()>, _) = channel();
    let device = TestDevice::new(move || {
        let (keep, put_back, sender) = (Arc::clone(&kept), Arc::clone(&kept), sender.clone());
        let put_back = move |_| {
            while let Some(chain) = put_back.lock().unwrap().pop() {
                // After a reset there is nowhere to put it back to.
                let _ = chain.unfetch();
            }
        };
        Worker::on_stop(put_back).deferred(move |chain| {
            keep.lock().unwrap().push(chain);
            sender.send(()).unwrap();
        })
    });
    (device, taken)
}
