//! What the tests of the adapters have in common: a device's answer, the shared memory of a front end, and the eventfds
//! of a ring. It does not know any version of the crates `vhost` and `vm-memory`.

#![allow(
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]
#![allow(clippy::std_instead_of_alloc, clippy::std_instead_of_core, reason = "tests have the standard library")]

mod signals;
mod text;

use std::fs::File;

use rustix::fs::{MemfdFlags, memfd_create};

pub use signals::{PATIENCE, Signals, event, event_fd, signal, wait};
pub use text::{answer, question};

/// Where the regions of the memory are, each as long as the others: one for each ring, and one for buffers alone.
pub const REGIONS: [u64; 3] = [0x1_0000, 0x10_0000, 0x20_0000];

/// How long each region is.
pub const LEN: usize = 0x1_0000;

/// Returns a file of zeros that two processes can map.
#[must_use]
pub fn shared_file(len: u64) -> File {
    let file = File::from(memfd_create("shared", MemfdFlags::CLOEXEC).unwrap());
    file.set_len(len).unwrap();
    file
}
