//! What the public interface of `virtio-util` promises.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]
#![allow(clippy::std_instead_of_alloc, reason = "tests have the standard library")]

#[cfg(feature = "std")]
mod budget;
#[cfg(feature = "std")]
mod devices;
mod driver;
#[cfg(all(feature = "eventfd", target_os = "linux"))]
mod event_fd;
#[cfg(feature = "std")]
mod fairness;
#[cfg(feature = "std")]
mod in_order;
#[cfg(feature = "std")]
mod interrupted;
mod iommu;
mod notify;
#[cfg(feature = "std")]
mod owned_chain;
#[cfg(feature = "alloc")]
mod regions;
#[cfg(feature = "std")]
mod rig;
#[cfg(feature = "std")]
mod shared_queue;
#[cfg(feature = "std")]
mod stream;
#[cfg(feature = "std")]
mod waiting;
#[cfg(feature = "std")]
mod wakes;
mod watchdog;
