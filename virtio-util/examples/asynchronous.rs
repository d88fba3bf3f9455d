//! The third shape of a device: each chain is a task.
//!
//! `cargo run -p virtio-util --example asynchronous`
//!
//! The runtime here is tokio. Any other will do.

use core::error::Error;
use core::time::Duration;

use virtio_fake_driver::{AnyFixtureOptions, DriverChain};
use virtio_queue_core::{Chain, DriverMem, FatalError, StableMem};
use virtio_util::{DescChainStream, OwnedChain, SharedQueue};

/// Serves one chain.
async fn request<M: StableMem + Send + Sync>(chain: OwnedChain<M>) {
    // A disk or a network would be here.
    tokio::time::sleep(Duration::from_millis(1)).await;
    zero(chain);
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

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let fixture = AnyFixtureOptions::default().build_plain()?;
    let (queue, mut driver) = (SharedQueue::new(fixture.queue), fixture.driver);
    let mut chains = DescChainStream::new(queue.clone());
    let device = tokio::spawn(async move {
        while let Some(chain) = chains.next_chain().await? {
            tokio::spawn(request(chain));
        }
        Ok::<_, FatalError>(())
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
        tokio::task::yield_now().await;
    }

    // At the end, no chain is left behind.
    queue.reset();
    queue.drained().await;
    Ok(device.await??)
}
