//! A device in one thread.

use std::thread;

use virtio_queue_core::{AnyQueue, Armed};

use crate::driver;
use crate::line::Line;

/// Moves so many chains.
pub(crate) fn run(features: u64, size: u16, chains: usize) {
    let (fake, config, mem) = driver::start(features, size);
    let (kick, interrupt) = (Line::default(), Line::default());
    let mut queue = AnyQueue::new(&config, mem, interrupt.clone()).unwrap();
    let kicked = kick.clone();
    thread::scope(|scope| {
        scope.spawn(move || driver::run(fake, chains, || kick.raise(), &interrupt));
        let mut served = 0;
        while served < chains {
            queue.suppress_notifications();
            let mut burst = queue.burst();
            while let Some(chain) = burst.next_chain().unwrap() {
                driver::serve(chain);
                served += 1;
            }
            burst.finish().unwrap();
            if queue.enable_notifications().unwrap() == Armed::Waiting && served < chains {
                kicked.wait();
            }
        }
    });
}
