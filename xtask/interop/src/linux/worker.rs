//! A guest that works while something happens to it, and looks at all that it gets.

use std::fs::File;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::blk::Disk;
use super::case::Case;
use super::device::GuestDevice;
use super::guest::{Guest, properties};
use super::monitor::Monitor;
use super::net::Interface;
use super::rig::{Rig, Root};

/// A guest that does what it is asked to.
pub(super) struct Worker<'r> {
    rig: &'r Rig<'r>,
    guest: Guest,
    pub(super) monitor: Monitor,
}

/// What is special about a guest.
#[derive(Clone, Copy)]
pub(super) struct Setup<'s> {
    /// Where its back ends are.
    pub(super) place: usize,
    /// Its memory, as QEMU's option `-m` has it.
    pub(super) memory: &'s str,
    /// More of what QEMU is told about the sockets of the devices.
    pub(super) socket: &'s str,
    /// More options.
    pub(super) options: &'s [&'s str],
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self { place: 0, memory: "256", socket: "", options: &[] }
    }
}

impl<'r> Worker<'r> {
    /// Starts a guest, whose back ends are there already.
    pub(super) fn start(rig: &'r Rig<'r>, setup: &Setup<'_>) -> Result<Self> {
        let Setup { place, memory, socket, options } = setup;
        let path = rig.socket("monitor", *place);
        let listener = Monitor::listen(&path)?;
        let task = match rig.root {
            Root::Memory => "obey",
            Root::Disk => "obey system=disk",
        };
        let mut command = Guest::command(rig.system, task, memory);
        command.args(*options).arg("-qmp").arg(format!("unix:{}", path.display()));
        let properties = properties(rig.features);
        let chardev = |name| format!("socket,id={name},path={}", rig.socket(name, *place).display());
        command.args(["-chardev", &format!("{}{socket}", chardev("disk"))]);
        command.args(["-device", &format!("vhost-user-blk-pci,chardev=disk,num-queues=1{properties}")]);
        if rig.network.is_some() {
            command.args(["-chardev", &format!("{}{socket}", chardev("net"))]);
            command.args(["-netdev", "vhost-user,id=network,chardev=net"]);
            // As for all guests with a network.
            command.args(["-device", &format!("virtio-net-pci,netdev=network,vectors=0,romfile={properties}")]);
        }
        let guest = Guest::run(command)?;
        match Monitor::accept(&listener) {
            Ok(monitor) => Ok(Self { rig, guest, monitor }),
            Err(error) => Err(error.context(guest.last_words())),
        }
    }

    /// Returns the memory that it has from the beginning.
    pub(super) fn memory(&self) -> Result<File> {
        self.guest.memory()
    }

    /// Waits until it has booted, and loads the drivers.
    pub(super) fn load(&mut self) -> Result<()> {
        let root = self.guest.said("ready")?;
        ensure!((root == "ext4") == (self.rig.root == Root::Disk), "the root of the guest is of the type '{root}'");
        let case = Case { features: self.rig.features, queues: 1 };
        self.guest.ask("load virtio_blk virtio0")?;
        self.guest.said_features(&case, Disk::MULTI_QUEUE).context("the disk")?;
        if self.rig.network.is_some() {
            self.guest.ask("set_up_network virtio1")?;
            self.guest.said_features(&case, Interface::MULTI_QUEUE).context("the network")?;
        }
        Ok(())
    }

    /// Lets it begin to work.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.guest.ask("use_disk")?;
        match &self.rig.network {
            Some(network) => self.guest.ask(&format!("use_net {}", network.offered())),
            None => Ok(()),
        }
    }

    /// Waits until all that it is working on has gone on.
    ///
    /// # Errors
    ///
    /// If it does not, or the guest has read something else than it or the host has written.
    pub(super) fn advance(&mut self) -> Result<()> {
        self.answer("advance", "advanced").map(drop)
    }

    /// Lets the work come to its end.
    pub(super) fn rest(&mut self) -> Result<()> {
        self.answer("rest", "rested").map(drop)
    }

    /// Takes the network away from its driver while it is used, and gives it back.
    pub(super) fn rebind_net(&mut self) -> Result<()> {
        if self.rig.network.is_none() {
            return Ok(());
        }
        self.guest.ask("rebind_net")?;
        let case = Case { features: self.rig.features, queues: 1 };
        self.guest.said_features(&case, Interface::MULTI_QUEUE)?;
        self.guest.said("rebound").map(drop)
    }

    /// Asks for something, and waits for what it says of `key` then.
    pub(super) fn answer(&mut self, request: &str, key: &str) -> Result<String> {
        self.guest.ask(request)?;
        self.guest.said(key)
    }

    /// Asks for a number, which is called as the request is.
    pub(super) fn number(&mut self, request: &str) -> Result<u64> {
        self.guest.ask(request)?;
        self.guest.said_number(request)
    }

    /// Compares what guest and host see, and ends the guest. Returns the number of requests for the disk since it was
    /// booted.
    ///
    /// # Errors
    ///
    /// If they do not see the same, or the guest's kernel has found fault with the disk.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.rest()?;
        self.check_complaints()?;
        let requests = self.check_disk()?;
        if let Some(network) = &self.rig.network {
            ensure!(network.sent_back()? > 0, "the guest has sent nothing to the host");
        }
        // For a guest that was reset before.
        self.monitor.execute("set-action", &json!({ "reboot": "shutdown" }))?;
        self.guest.ask("end")?;
        self.guest.end()?;
        Ok(requests)
    }

    /// Sees whether the guest's kernel has found fault with the disk.
    pub(super) fn check_complaints(&mut self) -> Result<()> {
        let complaints = self.number("complaints")?;
        ensure!(complaints == 0, "the guest's kernel complains about the disk in {complaints} lines");
        Ok(())
    }

    fn check_disk(&mut self) -> Result<u64> {
        let image = &self.rig.image;
        self.guest.ask("check_disk")?;
        for (key, directory) in [("host-files", "host"), ("guest-files", "guest")] {
            let (in_guest, on_host) = (self.guest.said(key)?, image.hash_of_files(directory)?);
            ensure!(in_guest == on_host, "the guest reads other files in '{directory}' than the host");
        }
        ensure!(self.guest.said("disk")? == image.hash()?, "the guest reads another disk than the host");
        image.check()?;
        self.guest.said_number("requests")
    }
}
