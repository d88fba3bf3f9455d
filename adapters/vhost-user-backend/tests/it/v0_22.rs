//! The same for `vhost-user-backend` 0.22.

#[path = "device.rs"]
mod device;
#[path = "faults.rs"]
mod faults;
#[path = "front_end.rs"]
mod front_end;
#[path = "memory.rs"]
mod memory;
#[path = "positions.rs"]
mod positions;
#[path = "signals.rs"]
mod signals;
#[path = "traffic.rs"]
mod traffic;
#[path = "vring.rs"]
mod vring;

/// What the modules beside this one are for.
mod framework {
    pub(crate) use vm_memory_0_17::GuestMemory as GuestMemoryBackend;
    pub(crate) use {
        vhost_0_16 as vhost, vhost_user_backend_0_22 as vhost_user_backend, virtio_queue_0_17 as virtio_queue,
        virtio_vhost_user_backend::v0_22 as adapter, vm_memory_0_17 as vm_memory,
    };
}
