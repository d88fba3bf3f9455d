//! What devices in `vhost-user-backend` can rely on, with the front end of the crate `vhost` and the fake driver.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]
#![allow(clippy::std_instead_of_alloc, reason = "tests have the standard library")]

mod device;
mod faults;
mod front_end;
mod memory;
mod positions;
mod signals;
mod traffic;
mod vring;
