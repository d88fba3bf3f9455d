//! A guest with a disk.

use std::path::Path;

use anyhow::{Result, ensure};

use super::case::Case;
use super::device::{GuestDevice, Way};
use super::guest::Guest;
use super::image::Image;
use super::system::System;
use crate::back_end::BackEnd;

/// A disk with files of the host and, later, of the guest.
pub(super) struct Disk {
    image: Image,
}

impl GuestDevice for Disk {
    const PROGRAM: &'static str = "vhost-user-blk";
    const TASK: &'static str = "blk";
    const BUSY_TASK: &'static str = "blk_busy";
    const QUEUES: u16 = 2;
    const MULTI_QUEUE: u64 = 1 << 12;
    const WAYS: &'static [Way] =
        &[Way { about: ", plain", args: &["--io", "plain"] }, Way { about: ", uring", args: &["--io", "uring"] }];

    fn new() -> Result<Self> {
        Ok(Self { image: Image::new()? })
    }

    fn start(&self, program: &Path, queues: u16, way: &Way) -> Result<BackEnd> {
        let (image, queues) = (self.image.path(), queues.to_string());
        let args = ["--blk-file", &image.to_string_lossy(), "--queues", &queues];
        BackEnd::start(program, &[&args[..], way.args].concat())
    }

    fn boot(&self, system: &System, case: &Case, back_end: &BackEnd, task: &str) -> Result<Guest> {
        let device = format!("vhost-user-blk-pci,chardev=socket,num-queues={}", case.queues);
        Guest::boot(system, case, back_end, task, &device, &[])
    }

    fn take_part(&mut self, guest: &mut Guest) -> Result<()> {
        let on_host = self.image.hash()?;
        ensure!(guest.said("disk")? == on_host, "the guest reads another disk than the host");
        ensure!(
            guest.said("host-files")? == self.image.hash_of_files("host")?,
            "the guest reads other files than the host wrote"
        );
        ensure!(
            guest.said("guest-files")? == self.image.hash_of_files("guest")?,
            "the guest reads other files than one wrote before"
        );
        let written = guest.said("guest-files")?;
        guest.said("unmounted")?;
        self.image.check()?;
        ensure!(written == self.image.hash_of_files("guest")?, "other files are on the disk than the guest wrote");
        Ok(())
    }
}
