//! The back ends, as processes of their own that front ends talk to. What they share is tried with `vhost-user-blk`.

mod back_end;
mod conventions;
mod dirty_log;
mod driver;
mod front_end;
mod guest;
mod hostile;
mod in_flight;
mod kept;
mod lifetime;
mod limits;
mod mapping;
mod net;
mod recovery;
mod rings;
mod rng;
mod traffic;
mod uring;
mod vsock;

pub(crate) use back_end::wait_readable;
