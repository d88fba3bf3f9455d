//! The back end `vhost-user-blk`, as a process of its own that front ends talk to.

mod back_end;
mod driver;
mod front_end;
mod hostile;
mod lifetime;
mod traffic;
