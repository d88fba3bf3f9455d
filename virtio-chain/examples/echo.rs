//! A device that sends back each message.
//!
//! `cargo run -p virtio-chain --example echo`
//!
//! The driver is from virtio-fake-driver. It cuts the request and the room for the answer in different places. The
//! device does not notice the cuts.

use core::error::Error;

use virtio_chain::ReadableChain;
use virtio_fake_driver::{AnyFixtureOptions, DriverChain};
use virtio_queue_core::{AnyQueue, Chain, DriverNotify, FatalError, StableMem};

/// The length of the longest message that the device accepts. A driver can send one of 4 GiB.
const LIMIT: usize = 4096;

/// Serves every chain that is available. Call it on each kick.
fn serve<M: StableMem>(queue: &mut AnyQueue<M, impl DriverNotify>) -> Result<(), FatalError> {
    let mut burst = queue.burst();
    while let Some(chain) = burst.next_chain()? {
        if let Err(error) = echo(chain) {
            eprintln!("a chain was not answered in full: {error}");
        }
    }
    burst.finish()
}

/// Answers one chain. The chain returns to the driver even on an error.
fn echo(chain: impl Chain) -> Result<(), Box<dyn Error>> {
    let mut message = [0; LIMIT];
    let mut request = ReadableChain::new(chain);
    let len = request.read(&mut message)?;
    // This is an error if the message is longer than `LIMIT`.
    let mut answer = request.into_writable()?;
    answer.write_all(message.get(..len).unwrap_or_default())?;
    Ok(answer.return_prefix()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let fixture = AnyFixtureOptions::default().build_plain()?;
    let (mut queue, mut driver) = (fixture.queue, fixture.driver);
    driver.add(&DriverChain::new().readable_cut(b"hello, device", &[1, 5]).writable_cut(100, &[10]))?;
    driver.add(&DriverChain::new().readable(b"too long for the answer").writable(5))?;
    serve(&mut queue)?;
    for used in driver.reap_all()? {
        println!("the driver reads {:?}", String::from_utf8_lossy(used.written()));
    }
    Ok(())
}
