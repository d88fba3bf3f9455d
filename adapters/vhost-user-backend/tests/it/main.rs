//! What devices in `vhost-user-backend` can rely on, with the front end of the crate `vhost` and the fake driver.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]
#![allow(clippy::std_instead_of_alloc, reason = "tests have the standard library")]
#![allow(clippy::duplicate_mod, reason = "one text for two versions of the framework")]

mod device;
mod faults;
mod front_end;
mod memory;
mod positions;
mod signals;
mod traffic;
#[cfg(feature = "vhost-user-backend-0-22")]
mod v0_22;
mod vring;

/// What the modules beside this one are for.
mod framework {
    pub(crate) use vm_memory::GuestMemoryBackend;
    pub(crate) use {::vhost, ::vhost_user_backend, ::virtio_queue, ::vm_memory, virtio_vhost_user_backend as adapter};
}
