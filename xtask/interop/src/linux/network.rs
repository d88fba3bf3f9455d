//! A network that nothing but a guest and this process is connected to.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::{self, Command};
use std::thread;

use anyhow::{Context, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use xtask_support::command::run;

const HARDWARE_ADDRESS: &str = "02:00:00:00:00:01";

/// A network namespace.
pub(super) struct Network {
    name: String,
}

impl Network {
    /// Makes an empty network.
    pub(super) fn new() -> Result<Self> {
        let network = Self { name: format!("virtio-xtask-{}", process::id()) };
        run(Command::new("ip").args(["netns", "add", &network.name]))?;
        Ok(network)
    }

    /// Does something in this network. Sockets and processes that are made there stay in it.
    pub(super) fn inside<T: Send>(&self, action: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = format!("/run/netns/{}", self.name);
        // A thread of its own, which alone is in the network.
        let inside = || {
            let network = File::open(&path).with_context(|| path.clone())?;
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
            action()
        };
        thread::scope(|scope| scope.spawn(inside).join()).map_err(|_| anyhow!("a panic in a network"))?
    }

    /// Makes a TAP device, which is there as long as the network.
    pub(super) fn add_tap(&self, interface: &str) -> Result<()> {
        run(Command::new("ip").args(["-n", &self.name, "tuntap", "add", "dev", interface, "mode", "tap", "vnet_hdr"]))
    }

    /// Gives an interface an address, and lets it run. All interfaces have the same hardware address: a guest that goes
    /// from one to another learns nothing of that.
    pub(super) fn bring_up(&self, interface: &str, address: &str) -> Result<()> {
        run(Command::new("ip").args(["-n", &self.name, "link", "set", interface, "address", HARDWARE_ADDRESS]))?;
        run(Command::new("ip").args(["-n", &self.name, "address", "add", address, "dev", interface]))?;
        run(Command::new("ip").args(["-n", &self.name, "link", "set", interface, "up"]))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = run(Command::new("ip").args(["netns", "delete", &self.name]));
    }
}
