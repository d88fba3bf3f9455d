//! The same items for `vhost-user-backend` 0.22, with vm-memory 0.17.1 and `vhost` 0.16.
//!
//! Each item here does the same as the item of that name in the [crate]. [`Call`](crate::Call) and
//! [`VringError`](crate::VringError) serve both versions.
//!
//! ```
//! use vhost_user_backend_0_22 as vhost_user_backend; // Your program has only one version.
//! use virtio_vhost_user_backend::v0_22::{Queues, Vring};
//!
//! struct Device {
//!     queues: Queues,
//! }
//!
//! fn handle_event(device: &Device, vring: &Vring) {
//!     if let Err(error) = device.queues.serve(vring, drop) {
//!         eprintln!("{error}");
//!     }
//! }
//! # fn is_vring<V: vhost_user_backend::VringT<virtio_vhost_user_backend::v0_22::GuestMem>>() {}
//! # is_vring::<Vring>();
//! ```
//!
//! The framework differs in one point: version 0.22 has no `stop_vring`. When a front end stops a vring, it waits until
//! no chain is out, but the framework does not tell the device. So a device on version 0.22 must not keep idle chains.

#[path = "queues.rs"]
mod queues;
#[path = "state.rs"]
mod state;
#[path = "types.rs"]
mod types;
#[path = "vring.rs"]
mod vring;

/// The version of the framework that the modules here use.
mod framework {
    pub(crate) use {
        vhost_user_backend_0_22 as vhost_user_backend, virtio_queue_0_17 as virtio_queue, vm_memory_0_17 as vm_memory,
    };
}

pub use self::queues::Queues;
pub use self::types::{GuestMem, VringBitmap, VringMem, VringQueue};
pub use self::vring::Vring;
