//! The driver of a packed ring. What it has in common with that of a split one is tested there.

mod device;
mod golden;
mod interrupts;
mod kicks;
mod reap;
mod stage;

pub(crate) use device::{Fetched, Puppet, with_puppet};
