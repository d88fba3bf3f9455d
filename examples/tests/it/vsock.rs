//! The socket device.

mod bounds;
mod connection;
mod credit;
mod ends;
mod packets;
mod random;
mod rig;
mod streams;

pub(crate) use rig::{HostListener, Received, Rig, header, pattern};
