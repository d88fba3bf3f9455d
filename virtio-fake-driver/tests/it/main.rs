//! What the public interface of `virtio-fake-driver` promises.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]
#![allow(clippy::std_instead_of_alloc, reason = "tests have the standard library")]

mod support;

mod packed;
mod split;

mod any_memory;
mod chain;
mod echo;
mod errors;
mod fixture;
#[cfg(feature = "hostile")]
mod hostile;
mod in_order;
mod lifecycle;
mod memory;
mod notification_data;
mod pool;
mod requests;
mod threads;
mod traffic;
