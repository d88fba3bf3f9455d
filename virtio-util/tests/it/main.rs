//! What the public interface of `virtio-util` promises.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]
#![allow(clippy::std_instead_of_alloc, reason = "tests have the standard library")]

mod driver;
#[cfg(all(feature = "eventfd", target_os = "linux"))]
mod event_fd;
mod iommu;
mod notify;
#[cfg(feature = "alloc")]
mod regions;
mod shared_queue;
mod stream;
