//! What the public interface of `virtio-chain` promises, by theme.
//!
//! What depends on the format of the ring is in `rig`, `bad` and `huge`; the others can be compiled for another one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]
#![allow(clippy::std_instead_of_alloc, reason = "tests have the standard library")]
#![allow(clippy::cast_possible_truncation, reason = "lengths and values of tests are small")]

mod bad;
mod rig;

mod model;
mod script;

mod foreign;
mod framing;
mod halves;
mod huge;
#[cfg(feature = "std")]
mod io;
mod lending;
mod malformed;
mod memory;
mod reading;
mod returning;
mod send;
mod splitting;
mod tails;
mod transfer;
mod used_len;
mod writing;
