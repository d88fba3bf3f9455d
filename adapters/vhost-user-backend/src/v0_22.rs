//! The same for `vhost-user-backend` 0.22, with vm-memory 0.17.1 and `vhost` 0.16.
//!
//! Each item here is what the item of the same name in the [crate] is. [`Call`](crate::Call) and
//! [`VringError`](crate::VringError) serve both versions.
//!
//! ```
//! use vhost_user_backend_0_22 as vhost_user_backend; // There is one version only in your program.
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
//! What differs is in the framework: version 0.22 has no `stop_vring`. A front end that stops a vring waits until no
//! chain is out, and the device is not told. So a device cannot keep chains there for as long as it likes.

#[path = "queues.rs"]
mod queues;
#[path = "state.rs"]
mod state;
#[path = "types.rs"]
mod types;
#[path = "vring.rs"]
mod vring;

/// What the modules beside this one are for.
mod framework {
    pub(crate) use {
        vhost_user_backend_0_22 as vhost_user_backend, virtio_queue_0_17 as virtio_queue, vm_memory_0_17 as vm_memory,
    };
}

pub use self::queues::Queues;
pub use self::types::{GuestMem, VringBitmap, VringMem, VringQueue};
pub use self::vring::Vring;
