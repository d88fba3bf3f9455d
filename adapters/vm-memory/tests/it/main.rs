//! What the public interface of `virtio-vm-memory` promises, in safe code.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]
#![allow(clippy::std_instead_of_alloc, reason = "tests have the standard library")]

mod conformance;
mod device;
mod dirty;
mod drivers;
mod handles;
#[cfg(feature = "atomic")]
mod kept_chains;
mod memories;
mod protection;
mod queues;
mod regions;
#[cfg(feature = "atomic")]
mod snapshots;
