//! A program outside of the workspace that keeps chains, with each lock that it was built with.

use std::sync::Arc;
use std::{error, thread};

use virtio_fake_driver::features::RING_PACKED;
use virtio_fake_driver::{AnyFixtureOptions, DriverChain};
use virtio_mem_traits::HeapMem;
use virtio_queue_core::AnyRing;
use virtio_util::{DefaultLock, Lock, NotificationCounter, OwnedChain, SharedQueue};

/// The type that a user writes.
type Shared<L> = SharedQueue<AnyRing<Arc<HeapMem>>, Arc<NotificationCounter>, L>;

/// Keeps four chains, returns two elsewhere and two here, in another order.
fn keep<L: Lock>(features: u64) -> Result<(), Box<dyn error::Error>> {
    let fixture = AnyFixtureOptions { features, ..Default::default() }.build_plain()?;
    let mut driver = fixture.driver;
    let queue = Shared::<L>::with_lock(fixture.queue, 16);
    for _ in 0..4 {
        driver.add(&DriverChain::new().writable(8))?;
    }
    let mut kept: Vec<OwnedChain<_>> =
        std::iter::from_fn(|| queue.next_chain().transpose()).collect::<Result<_, _>>()?;
    let elsewhere = kept.split_off(2);
    thread::spawn(move || drop(elsewhere)).join().map_err(|_| "the thread panicked")?;
    while let Some(chain) = kept.pop() {
        chain.return_written(0)?;
    }
    queue.drain();
    match driver.reap_all()?.len() {
        4 => Ok(()),
        used => Err(format!("{used} chains came back, and should be 4").into()),
    }
}

fn main() -> Result<(), Box<dyn error::Error>> {
    for features in [0, RING_PACKED] {
        keep::<DefaultLock>(features)?;
        #[cfg(feature = "parking_lot-0-12")]
        keep::<parking_lot_0_12::Mutex<()>>(features)?;
        #[cfg(feature = "parking_lot-0-13")]
        keep::<parking_lot_0_13::Mutex<()>>(features)?;
    }
    Ok(())
}
