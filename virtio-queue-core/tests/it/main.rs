//! What virtio-queue-core promises, by theme.
//!
//! Whoever reads a test next to the specification finds the clauses by their ids. What a driver sees is what counts:
//! the bytes in memory, the log of the device's accesses, and the notifications. The themes that let the driver of
//! virtio-fake-driver do the writing (`order`, `tokens`, `traffic`) know no format; those that write by hand do.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
#![allow(clippy::std_instead_of_alloc, reason = "a test has std")]
#![allow(clippy::cast_possible_truncation, reason = "models count in wider types, modulo what the ring counts in")]

mod fold;
mod formats;
mod packed_support;
mod support;

mod available_notifications;
mod bases;
mod both_formats;
mod config;
mod fatal;
mod fetch;
mod gather;
mod hostile;
mod in_order;
mod interleavings;
mod lifecycle;
mod malformed;
mod order;
mod order_platform;
mod ownership;
mod packed_fatal;
mod packed_fetch;
mod packed_hostile;
mod packed_notifications;
mod packed_used;
mod packed_walk;
mod recorded;
mod replaced_memory;
mod saved;
mod serve;
mod snapshots;
mod tokens;
mod traffic;
mod unfetch;
mod used;
mod used_notifications;
mod walk;
