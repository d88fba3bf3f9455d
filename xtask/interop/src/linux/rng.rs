//! A guest with a source of random bytes.

use std::path::Path;

use anyhow::Result;

use super::case::Case;
use super::device::{GuestDevice, Way};
use super::guest::Guest;
use super::system::System;
use crate::back_end::BackEnd;

/// Nothing is behind the device but the operating system.
pub(super) struct Entropy;

impl GuestDevice for Entropy {
    const PROGRAM: &'static str = "vhost-user-rng";
    const TASK: &'static str = "rng";
    const BUSY_TASK: &'static str = "rng_busy";
    const QUEUES: u16 = 1;
    const MULTI_QUEUE: u64 = 0;

    fn new() -> Result<Self> {
        Ok(Self)
    }

    fn start(&self, program: &Path, _queues: u16, _way: &Way) -> Result<BackEnd> {
        BackEnd::start(program, &[])
    }

    fn boot(&self, system: &System, case: &Case, back_end: &BackEnd, task: &str) -> Result<Guest> {
        // An interrupt for the queue and one for the configuration.
        Guest::boot(system, case, back_end, task, "vhost-user-rng-pci,chardev=socket,vectors=2", &[])
    }

    /// The guest finds out by itself whether the bytes look random.
    fn take_part(&mut self, guest: &mut Guest) -> Result<()> {
        guest.said("random").map(drop)
    }
}
