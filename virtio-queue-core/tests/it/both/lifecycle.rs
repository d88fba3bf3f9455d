//! Reset, suspend and resume, in either format and with tokens in flight.

mod reset;
mod suspend;

use virtio_fake_driver::packed::{self, RawPacked};
use virtio_fake_driver::split::RawSplit;
use virtio_fake_driver::{Any, AnyRaw, Driver, DriverChain, Fixture, Format, Packed, QueueFormat, Split};
use virtio_queue_core::FatalError;

use crate::support::one_chain;

/// A request with room for an answer.
fn request() -> DriverChain {
    DriverChain::new().readable(b"?").writable(4)
}

fn add<F: Format>(driver: &mut Driver<F>, count: usize) {
    (0..count).for_each(|_| _ = driver.add(&request()).unwrap());
}

/// Serves one chain, with everything that belongs to it.
fn check_one<F: QueueFormat>(fixture: &mut Fixture<F>) {
    let Fixture { queue, driver, notifications, .. } = fixture;
    notifications.take();
    one_chain(queue, driver, notifications, &request());
}

/// What a driver of each format does to break the rules.
trait Spoil {
    /// Makes something available that breaks a queue which is at the beginning of its ring.
    fn spoil(&self) -> FatalError;
}

fn spoil_split(raw: &RawSplit) -> FatalError {
    let size = raw.areas().size;
    raw.set_available_index(size + 1);
    FatalError::Oversubscribed { available: size + 1, in_flight: 0, size }
}

fn spoil_packed(raw: &RawPacked) -> FatalError {
    let size = raw.areas().size;
    let flags = packed::Descriptor::NEXT | packed::Descriptor::AVAIL;
    (0..size).for_each(|slot| raw.set_descriptor(slot, packed::Descriptor { flags, ..Default::default() }));
    FatalError::EndlessList { size }
}

impl Spoil for Driver<Split> {
    fn spoil(&self) -> FatalError {
        spoil_split(self.raw())
    }
}

impl Spoil for Driver<Packed> {
    fn spoil(&self) -> FatalError {
        spoil_packed(self.raw())
    }
}

impl Spoil for Driver<Any> {
    fn spoil(&self) -> FatalError {
        match self.raw() {
            AnyRaw::Split(raw) => spoil_split(raw),
            AnyRaw::Packed(raw) => spoil_packed(raw),
        }
    }
}
