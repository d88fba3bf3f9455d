//! x
#![no_std]

extern crate alloc;
#[cfg(feature = "atomic")]
mod atomic;
mod mapping;
mod memory;
mod vm_memory;

pub use self::memory::{Memory, Region};
pub use self::vm_memory::VmMemory;
