//! Counts the packets that a driver sends, and their bytes. It uses no crate above the queue.
//!
//! `cargo run -p virtio-queue-core --example count_packets`
//!
//! A device that does not read the bytes needs no other crate. The driver of this example is virtio-fake-driver.

use core::error::Error;

use virtio_fake_driver::{AnyFixtureOptions, DriverChain};
use virtio_queue_core::{AnyQueue, ChainError, DriverNotify, FatalError, Piece, StableMem, Walk};

/// The numbers of packets, bytes and malformed chains.
#[derive(Default)]
struct Counters {
    packets: u64,
    bytes: u64,
    malformed: u64,
}

impl Counters {
    /// Counts all packets that are available, and returns them to the driver. Call it on each kick.
    fn serve<M: StableMem>(&mut self, queue: &mut AnyQueue<M, impl DriverNotify>) -> Result<(), FatalError> {
        let mem = queue.mem().clone();
        let mut burst = queue.burst();
        while let Some(chain) = burst.next_chain()? {
            let add = |bytes, piece: Piece<'_>| Ok::<_, ChainError>(bytes + piece.memory.len() as u64);
            match chain.walk().try_fold_pieces(&mem, 0, add) {
                Ok(bytes) => {
                    self.packets += 1;
                    self.bytes += bytes;
                }
                Err(_) => self.malformed += 1,
            }
            // The drop returns the chain, with nothing written.
        }
        burst.finish()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let fixture = AnyFixtureOptions::default().build_plain()?;
    let (mut queue, mut driver) = (fixture.queue, fixture.driver);
    let mut counters = Counters::default();
    for len in [64, 1500, 9000] {
        driver.add(&DriverChain::new().readable(vec![0; len]))?;
    }
    counters.serve(&mut queue)?;

    let Counters { packets, bytes, malformed } = counters;
    println!("{packets} packets, {bytes} bytes, {malformed} malformed chains");
    println!(
        "the driver has {} buffers back, after {} notifications",
        driver.reap_all()?.len(),
        fixture.notifications.count()
    );
    Ok(())
}
