//! What back ends promise, as a front end and a driver see it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]
#![allow(clippy::std_instead_of_alloc, clippy::std_instead_of_core, reason = "tests have the standard library")]

mod answers;
mod config;
mod devices;
mod front_end;
mod lives;
mod memory;
mod places;
mod record;
mod shapes;
mod signals;
mod stop;
mod waking;
