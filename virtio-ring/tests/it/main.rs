//! What virtio-ring promises, by theme.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
#![allow(clippy::cast_possible_truncation, reason = "models count in wider types, modulo what the ring counts in")]

mod support;

mod both;
mod packed;
mod split;
