//! The driver of a split ring.

mod device;
mod golden;
mod interrupts;
mod kicks;
mod reap;
mod stage;

pub(crate) use device::Puppet;
