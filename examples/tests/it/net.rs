//! The network device.

mod nic;
mod ports;
mod receive;
mod transmit;

pub(crate) use nic::frame;
