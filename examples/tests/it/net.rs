//! The network device.

mod control;
mod nic;
mod offloads;
mod ports;
mod receive;
mod transmit;

pub(crate) use nic::frame;
