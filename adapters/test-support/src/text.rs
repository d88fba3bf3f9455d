//! What the driver sends, and what the device answers.

use std::io::{Read, Write};

use virtio_chain::ReadableChain;
use virtio_fake_driver::DriverChain;
use virtio_queue_core::Chain;

/// Writes in upper case what the driver sent.
pub fn answer(chain: impl Chain) {
    let mut request = ReadableChain::new(chain);
    let mut text = String::new();
    request.read_to_string(&mut text).unwrap();
    let mut answer = request.into_writable().unwrap();
    answer.write_all(text.to_uppercase().as_bytes()).unwrap();
    answer.return_prefix().unwrap();
}

/// Returns a chain with a text, and with room for an answer of the same length.
#[must_use]
pub fn question(text: &str) -> DriverChain {
    DriverChain::new().readable(text).writable(u32::try_from(text.len()).unwrap())
}
