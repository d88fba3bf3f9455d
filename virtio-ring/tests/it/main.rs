//! What virtio-ring promises, by theme.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
#![allow(clippy::cast_possible_truncation, reason = "models count in wider types, modulo what the ring counts in")]

mod log_mem;

mod areas;
mod event;
mod features;
mod layout;
mod notification;
mod packed;
mod table;
