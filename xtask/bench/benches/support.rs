//! What the benchmarks share.

#![allow(dead_code, reason = "each of them uses a part")]

pub(crate) mod clock;
pub(crate) mod device;
pub(crate) mod driver;
pub(crate) mod memory;
pub(crate) mod pass;
pub(crate) mod payload;
pub(crate) mod polling;
pub(crate) mod ring;
pub(crate) mod shape;
