//! What is in the buffers of payloads.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

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
