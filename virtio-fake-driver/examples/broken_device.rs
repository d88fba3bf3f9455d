//! Runs a broken device with a driver that reports its mistakes.
//!
//! `cargo run -p virtio-fake-driver --example broken_device`

use core::error::Error;

use virtio_fake_driver::{AnyFixtureOptions, DriverChain};
use virtio_queue_core::{AnyQueue, Chain, DriverNotify, FatalError, StableMem};

/// Returns every chain with a length of 512 bytes, and writes nothing.
fn serve<M: StableMem>(queue: &mut AnyQueue<M, impl DriverNotify>) -> Result<(), FatalError> {
    while let Some(chain) = queue.next_chain()? {
        let _ = chain.return_unchecked(512);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut fixture = AnyFixtureOptions::default().build()?;
    fixture.driver.add(&DriverChain::new().readable(b"sector 7").writable(600))?;
    serve(&mut fixture.queue)?;
    let used = fixture.driver.reap()?.ok_or("the device has used nothing")?;
    println!(
        "the device reports {} written bytes, and did not change {} of them",
        used.written().len(),
        used.untouched()
    );

    fixture.driver.add(&DriverChain::new().readable(b"sector 7").writable(100))?;
    serve(&mut fixture.queue)?;
    match fixture.driver.reap() {
        Err(violation) => println!("{violation}"),
        Ok(_) => return Err("the driver must report the wrong length".into()),
    }
    Ok(())
}
