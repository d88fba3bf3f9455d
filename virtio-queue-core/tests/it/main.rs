//! What virtio-queue-core promises, by theme.
//!
//! Whoever reads a test next to the specification finds the clauses by their ids. What a driver sees is what counts:
//! the bytes in memory, the log of the device's accesses, and the notifications. The themes that lie in `both` let the
//! driver of virtio-fake-driver do the writing, or run with either format. Those in `split` and `packed` write by hand,
//! and mirror each other.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
#![allow(clippy::std_instead_of_alloc, reason = "a test has std")]
#![allow(clippy::cast_possible_truncation, reason = "models count in wider types, modulo what the ring counts in")]

mod support;

mod both;
mod packed;
mod split;
