//! What the public interface of `virtio-fake-driver` promises.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]
#![allow(clippy::std_instead_of_alloc, reason = "tests have the standard library")]

mod any_memory;
mod chain;
mod device;
mod echo;
mod errors;
mod fixture;
mod golden;
#[cfg(feature = "hostile")]
mod hostile;
mod in_order;
mod interrupts;
mod kicks;
mod lifecycle;
mod memory;
mod notification_data;
mod packed;
mod pool;
mod reap;
mod requests;
mod stage;
mod threads;
mod traffic;
