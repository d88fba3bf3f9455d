//! The driver of a packed ring.

mod device;
mod golden;
mod interrupts;
mod kicks;
mod reap;
mod stage;

pub(crate) use device::{Fetched, Puppet, with_puppet};
