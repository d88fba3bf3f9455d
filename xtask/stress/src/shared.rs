//! A device in three threads: two fetch from one queue, and hand each second chain to the third.

use std::sync::mpsc::channel;
use std::thread;

use virtio_queue_core::AnyQueue;
use virtio_util::SharedQueue;

use crate::driver;
use crate::line::Line;

/// Moves so many chains.
pub(crate) fn run(features: u64, size: u16, chains: usize) {
    let (fake, config, mem) = driver::start(features, size);
    let interrupt = Line::default();
    let queue = SharedQueue::new(AnyQueue::new(&config, mem, interrupt.clone()).unwrap());
    let (elsewhere, handed) = channel();
    thread::scope(|scope| {
        for _ in 0..2 {
            let (queue, elsewhere) = (queue.clone(), elsewhere.clone());
            scope.spawn(move || {
                let mut here = false;
                while let Some(chain) = queue.wait_chain().unwrap() {
                    here = !here;
                    if here {
                        driver::serve(chain);
                    } else {
                        elsewhere.send(chain).unwrap();
                    }
                }
            });
        }
        drop(elsewhere);
        scope.spawn(move || handed.into_iter().for_each(driver::serve));
        let waker = queue.clone();
        let done = scope.spawn(move || driver::run(fake, chains, || waker.wake(), &interrupt));
        let ended = done.join();
        queue.reset();
        ended.unwrap();
    });
    queue.drain();
}
