//! Drivers made of bytes that a fuzzer chooses, and what must hold whatever they do.
//!
//! A target is a function of its input. `cargo xtask fuzz` runs the targets under libFuzzer, with AddressSanitizer. A
//! test replays the corpus without either. The oracles of all targets are: no panic; work for each operation within a
//! bound that follows from the size of the queue; no byte accessed that was not translated for that access; no byte
//! changed that was not reported as written; nothing reported to the driver that was not written; and accounts that
//! balance.

#![expect(clippy::std_instead_of_alloc, clippy::std_instead_of_core, reason = "it runs where there is a file system")]
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a panic is what tells of a finding")]
#![expect(clippy::cast_possible_truncation, reason = "inputs are short, and programs that fuzz have 64 bits")]

mod blk;
mod chain;
mod differential;
mod honest;
mod input;
mod memory;
mod net;
mod queue;
mod ring;
mod rng;
mod saved;
mod shared;
mod vhost_user;
mod vm_memory;
mod vsock;

pub use differential::run as differential;

/// A function of an input.
pub type Target = fn(&[u8]);

/// All targets, by name.
pub const TARGETS: [(&str, Target); 11] = [
    ("queue", queue::run),
    ("chain", chain::run),
    ("shared", shared::run),
    ("saved", saved::run),
    ("blk", blk::run),
    ("net", net::run),
    ("rng", rng::run),
    ("vsock", vsock::run),
    ("vm-memory", vm_memory::run),
    ("vhost-user", vhost_user::run),
    ("differential", |input| _ = differential::run(input)),
];

/// Runs a target.
///
/// # Panics
///
/// If there is no such target, or if it finds something.
pub fn run(target: &str, input: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target has that name");
    target(input);
}
