//! What is in the buffers of payloads.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use virtio_mem_traits::DeviceRange;

use super::ring::Ring;
use super::shape::{Direction, Payload};

/// Returns the bytes of a payload: each has others.
pub(crate) fn payload(number: u32, bytes: u32) -> Vec<u8> {
    let mut payload = vec![0; bytes as usize];
    Xoshiro256PlusPlus::seed_from_u64(number.into()).fill_bytes(&mut payload);
    payload
}

/// Returns what a device adds to its sum for a payload that it has read: the first and the last word, as a cheap proof
/// that all of it is there.
#[inline]
pub(crate) fn seen(payload: &[u8]) -> u64 {
    let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
    word(payload.first_chunk()).wrapping_add(word(payload.last_chunk()))
}

/// Returns what a device adds to its sum for the payload of this number.
pub(crate) fn expected(Payload { bytes, direction }: Payload, number: u32) -> u64 {
    match direction {
        Direction::Read => seen(&payload(number, bytes)),
        Direction::Write => bytes.into(),
    }
}

/// What the driver does with payloads.
impl Ring {
    /// Puts into each chain what the device will read, or zeroes where it will write.
    pub(crate) fn put_payloads(&self) {
        self.each_payload(|number, memory, Payload { bytes, direction }| match direction {
            Direction::Read => memory.write_bytes(0, &payload(number, bytes)).expect("it is writable"),
            Direction::Write => memory.fill(0, memory.len(), 0).expect("it is writable"),
        });
    }

    /// Returns how many of the chains hold what the device wrote into all of them.
    pub(crate) fn written_payloads(&self) -> u16 {
        let (mut expected, mut found, mut count) = (Vec::new(), Vec::new(), 0);
        self.each_payload(|_, memory, Payload { bytes, .. }| {
            if expected.is_empty() {
                expected = payload(0, bytes);
            }
            found.resize(memory.len(), 0);
            memory.read_bytes(0, &mut found).expect("it is readable");
            count += u16::from(found == expected);
        });
        count
    }

    fn each_payload(&self, mut work: impl FnMut(u32, DeviceRange<'_>, Payload)) {
        let Some(payload) = self.shape.payload else { return };
        for (number, chain) in (0..).zip(&self.chains) {
            // The parts of a payload follow each other.
            let first = chain.buffers[0];
            work(number, self.memory.range(first.addr, payload.bytes as usize), payload);
        }
    }
}
