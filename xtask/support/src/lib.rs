//! What the programs behind `cargo xtask` have in common.

#![forbid(unsafe_code)]
#![cfg_attr(feature = "cargo", expect(missing_debug_implementations, reason = "nobody debugs a program by its parts"))]

#[cfg(feature = "cargo")]
pub mod cargo;
mod cli;
pub mod command;
#[cfg(feature = "hash")]
mod hash;
#[cfg(feature = "cargo")]
mod spinner;
#[cfg(feature = "table")]
mod table;
pub mod testing;

pub use cli::{main, wrong_arguments};
#[cfg(feature = "hash")]
pub use hash::Hash;
#[cfg(feature = "cargo")]
pub use spinner::Spinner;
#[cfg(feature = "table")]
pub use table::markdown;
