//! The first shape of a device: it is done with each chain as soon as it sees it.
//!
//! `cargo run -p virtio-util --example at_once`
//!
//! This shape needs the queue alone. It is here beside the two others, to be compared with them.

use core::error::Error;

use virtio_fake_driver::{AnyFixtureOptions, DriverChain};
use virtio_queue_core::{AnyQueue, Chain, DriverMem, DriverNotify, FatalError, StableMem};

/// Serves every chain that is available. Call it on each kick.
fn serve<M: StableMem>(queue: &mut AnyQueue<M, impl DriverNotify>) -> Result<(), FatalError> {
    let mut burst = queue.burst();
    while let Some(chain) = burst.next_chain()? {
        zero(chain);
    }
    // All chains are published at once, with one notification at most.
    burst.finish()
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
    let (mut queue, mut driver) = (fixture.queue, fixture.driver);
    for len in 1..=4 {
        driver.add(&DriverChain::new().writable(len))?;
    }
    serve(&mut queue)?;
    for used in driver.reap_all()? {
        println!("buffer {}: {:?}", used.id, used.written());
    }
    println!("{} notification", fixture.notifications.count());
    Ok(())
}
