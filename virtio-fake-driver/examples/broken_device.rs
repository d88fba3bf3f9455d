//! A device that is wrong, and a driver that says what is wrong about it.
//!
//! `cargo run -p virtio-fake-driver --example broken_device`

use core::error::Error;

use virtio_fake_driver::{AnyFixtureOptions, DriverChain};
use virtio_queue_core::{AnyQueue, Chain, DriverNotify, FatalError, StableMem};

/// Says of every chain that 512 bytes were written, and writes nothing.
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
    println!("{} bytes are said to be written, and {} were not touched", used.written().len(), used.untouched());

    fixture.driver.add(&DriverChain::new().readable(b"sector 7").writable(100))?;
    serve(&mut fixture.queue)?;
    match fixture.driver.reap() {
        Err(violation) => println!("{violation}"),
        Ok(_) => return Err("the driver must notice that".into()),
    }
    Ok(())
}
