//! The second shape of a device: threads take the chains, and return them in any order.
//!
//! `cargo run -p virtio-util --example deferred`

use core::error::Error;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::thread;

use virtio_fake_driver::{AnyFixtureOptions, DriverChain};
use virtio_queue_core::{Chain, DriverMem, DriverNotify, FatalError, StableMem};
use virtio_util::{SharedAnyQueue, SharedQueue};

/// Works until the queue ends. Each thread of the pool does so.
fn work<M, N>(queue: SharedAnyQueue<M, N>) -> Result<(), FatalError>
where
    M: StableMem + Send + 'static,
    N: DriverNotify + Send + 'static,
{
    while let Some(chain) = queue.wait_chain()? {
        // A request that panics must not end its thread. The chain returns all the same.
        let _ = catch_unwind(AssertUnwindSafe(|| zero(chain)));
    }
    Ok(())
}

/// Writes zeros wherever it may, and returns the chain. The crate virtio-chain has a simpler way.
fn zero(chain: impl Chain) {
    let (mut place, mut written) = (chain.start(), 0);
    while let Some(Ok(element)) = chain.next_element(&mut place) {
        if !element.access.writes() {
            continue;
        }
        let Ok(piece) = chain.mem().translate_all(element.range, element.access) else { break };
        let Ok(()) = piece.fill(0, piece.len(), 0) else { break };
        chain.mem().written(element.range);
        written += element.range.len();
    }
    // A chain has less than 2^32 bytes.
    let _ = chain.return_unchecked(u32::try_from(written).unwrap_or(0));
}

fn main() -> Result<(), Box<dyn Error>> {
    let fixture = AnyFixtureOptions::default().build_plain()?;
    let (queue, mut driver) = (SharedQueue::new(fixture.queue), fixture.driver);
    let pool = [(); 4].map(|()| {
        let queue = queue.clone();
        thread::spawn(|| work(queue))
    });

    for len in 1..=8 {
        driver.add(&DriverChain::new().writable(len))?;
    }
    // Call it on each kick.
    queue.wake();
    while driver.in_flight() != 0 {
        for used in driver.reap_all()? {
            println!("buffer {}: {:?}", used.id, used.written());
        }
        thread::yield_now();
    }

    // At the end, no chain is left behind.
    queue.reset();
    queue.drain();
    for thread in pool {
        thread.join().map_err(|_| "a thread panicked")??;
    }
    Ok(())
}
