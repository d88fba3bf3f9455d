//! The rings as they are shipped, under a model checker: what `cargo xtask loom` runs.
//!
//! [`loom`] runs a model again and again, with every interleaving of its threads and every value that a load can return
//! by the rules of C11. The queue and the driver of a [`Rig`] share words that are loom's. Byte order is that of a
//! little-endian machine.
//!
//! What is not modelled: locks other than that of a shared queue, and whatever `event-listener` does inside. Each of
//! its operations counts as one step. A thread that sleeps in `SharedQueue::wait_chain` sleeps for the operating
//! system, and loom cannot wake it: the stress program is for that.

#[cfg(not(virtio_loom))]
compile_error!("build this with `--cfg virtio_loom`: `cargo xtask loom` does that");

mod lock;
mod memory;
mod rig;
mod weakening;

pub use lock::LoomLock;
pub use rig::{Device, FORMATS, Rig, Signal, answer, check, check_with, request};
