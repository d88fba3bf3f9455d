//! What a guest has to work with while something happens to it: back ends, and what is behind them.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use tempfile::TempDir;

use super::image::Image;
use super::net::Interface;
use super::system::System;
use crate::back_end::{BackEnd, build};
use crate::extent::Extent;
use crate::matrix::{EVENT_IDX, INDIRECT_DESC, RING_PACKED};
use crate::peer;
use xtask_support::command::{ensure_installed, missing};

/// What is negotiated of split rings.
const SPLIT: u64 = EVENT_IDX | INDIRECT_DESC;

/// Who serves the devices.
pub(super) enum Servers {
    /// The programs of this project: one for the disk and one for the network.
    Ours { disk: PathBuf, net: PathBuf },
    /// `qemu-storage-daemon`, which serves disks only.
    Peer,
}

/// Where a guest has its root file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// In memory, where the kernel has unpacked it.
    Memory,
    /// On the disk.
    Disk,
}

impl Root {
    /// Returns where it is in cases that take turns. It is on the disks that are read and written by io_uring.
    pub(super) const fn of(servers: &Servers, features: u64) -> Self {
        match servers {
            Servers::Ours { .. } if features & RING_PACKED != 0 => Self::Disk,
            _ => Self::Memory,
        }
    }
}

/// A disk and, maybe, a network. Back ends are at places, which are numbers: 0 for the first of each.
pub(super) struct Rig<'a> {
    pub(super) system: &'a System,
    servers: &'a Servers,
    /// What the guest negotiates of the rings.
    pub(super) features: u64,
    pub(super) root: Root,
    pub(super) image: Image,
    pub(super) network: Option<Interface>,
    directory: TempDir,
}

impl Servers {
    /// Builds the programs that are needed.
    pub(super) fn prepare(extent: &Extent) -> Result<Self> {
        if extent.peer {
            ensure_installed(&missing(&[("qemu-storage-daemon", "qemu-system-common")]))?;
            return Ok(Self::Peer);
        }
        let [disk, net] = ["vhost-user-blk", "vhost-user-net"].map(build);
        Ok(Self::Ours { disk: disk?, net: net? })
    }

    /// Returns the features of the rings that guests negotiate. `qemu-storage-daemon` has no packed rings.
    pub(super) const fn formats(&self) -> &'static [u64] {
        match self {
            Self::Ours { .. } => &[SPLIT, SPLIT | RING_PACKED],
            Self::Peer => &[SPLIT],
        }
    }

    /// Returns what serves the disk.
    pub(super) const fn disk(&self) -> &'static str {
        match self {
            Self::Ours { .. } => "vhost-user-blk",
            Self::Peer => "qemu-storage-d.",
        }
    }

    /// Returns what serves the disk and the network.
    pub(super) const fn both(&self) -> &'static str {
        match self {
            Self::Ours { .. } => "blk and net",
            Self::Peer => self.disk(),
        }
    }
}

impl<'a> Rig<'a> {
    /// Makes a disk, with files of the host on it.
    pub(super) fn with_disk(system: &'a System, servers: &'a Servers, features: u64, root: Root) -> Result<Self> {
        let image = match root {
            Root::Memory => Image::with_room(),
            Root::Disk => Image::with_system(system),
        };
        Ok(Self { system, servers, features, root, image: image?, network: None, directory: TempDir::new()? })
    }

    /// Makes a network as well, if there is somebody to serve it.
    pub(super) fn with_both(system: &'a System, servers: &'a Servers, features: u64, root: Root) -> Result<Self> {
        let mut rig = Self::with_disk(system, servers, features, root)?;
        if let Servers::Ours { .. } = servers {
            rig.network = Some(Interface::for_workers()?);
        }
        Ok(rig)
    }

    /// Returns the path of a socket.
    pub(super) fn socket(&self, name: &str, place: usize) -> PathBuf {
        self.directory.path().join(format!("{name}-{place}"))
    }

    /// Starts a back end for the disk. There may be another one, as long as only one of them has a guest that runs.
    pub(super) fn start_disk(&self, place: usize) -> Result<BackEnd> {
        let (socket, image) = (self.socket("disk", place), self.image.path());
        match self.servers {
            Servers::Ours { disk, .. } => {
                BackEnd::start_at(socket, disk, &["--image", &image.to_string_lossy(), "--io", self.io()])
            }
            Servers::Peer => peer::start(socket, &peer_disk(&image)),
        }
    }

    /// Returns how the disk is read and written: in one format in the one way, in the other format in the other way.
    pub(super) const fn io(&self) -> &'static str {
        if self.features & RING_PACKED == 0 { "plain" } else { "uring" }
    }

    /// Starts a back end for the network, if there is one.
    pub(super) fn start_net(&self, place: usize) -> Result<Option<BackEnd>> {
        let (Some(network), Servers::Ours { net, .. }) = (&self.network, self.servers) else { return Ok(None) };
        network.start_at(self.socket("net", place), net, &format!("tap{place}"), 1, &[]).map(Some)
    }

    /// Starts a back end for the network that records what is in flight, and may be killed.
    pub(super) fn start_recorded_net(&self) -> Result<BackEnd> {
        let (Some(network), Servers::Ours { net, .. }) = (&self.network, self.servers) else { bail!("no network") };
        let record = self.socket("net-record", 0);
        network.start_at(self.socket("net", 0), net, "tap0", 1, &["--record", &record.to_string_lossy()])
    }
}

/// Returns the disk as `qemu-storage-daemon` is told of it. Two of them have it open when a guest goes from one to the
/// other.
fn peer_disk(image: &Path) -> String {
    format!("driver=file,node-name=disk,locking=off,filename={}", image.display())
}

/// Returns the random moments of a case, which others have in the same run.
pub(super) fn moments(extent: &Extent) -> Xoshiro256PlusPlus {
    let seed = extent.seed.unwrap_or_else(rand::random);
    println!("random moments: --seed {seed}");
    Xoshiro256PlusPlus::seed_from_u64(seed)
}
