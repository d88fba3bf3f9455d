//! What the guest is made of: the packages of the host's distribution.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use super::initramfs::Initramfs;
use crate::back_end::build_for_guests;
use xtask_support::command::{ensure_installed, find, missing};

/// The programs that are called, and the packages that bring them.
const PROGRAMS: [(&str, &str); 6] = [
    ("busybox", "busybox-static"),
    ("debugfs", "e2fsprogs"),
    ("e2fsck", "e2fsprogs"),
    ("ip", "iproute2"),
    ("mke2fs", "e2fsprogs"),
    ("qemu-system-x86_64", "qemu-system-x86"),
];

pub(super) const KERNEL_PACKAGE: &str = "linux-image-cloud-amd64";

/// The modules of the kernel that the guest loads.
const MODULES: [&str; 5] = ["virtio_pci", "virtio_blk", "virtio_net", "virtio-rng", "vmw_vsock_virtio_transport"];

/// The first process of the guest.
const INIT: &str = include_str!("init.sh");

/// The directories that the guest mounts something on.
const MOUNT_POINTS: [&str; 5] = ["dev", "proc", "sys", "mnt", "tmp"];

/// A system that can be booted, again and again.
pub(super) struct System {
    pub(super) kernel: PathBuf,
    pub(super) initramfs: NamedTempFile,
    /// What the guest has, and where.
    programs: Vec<(PathBuf, Vec<u8>)>,
}

impl System {
    /// Puts the system together.
    ///
    /// # Errors
    ///
    /// If a package is not installed.
    pub(super) fn prepare() -> Result<Self> {
        let modules = newest_kernel()?;
        let mut missing = missing(&PROGRAMS);
        if modules.is_none() {
            missing.push(KERNEL_PACKAGE);
        }
        ensure_installed(&missing)?;
        let modules = modules.context("the kernel is there")?;
        let (initramfs, programs) = (NamedTempFile::new()?, programs(&modules)?);
        fs::write(&initramfs, make_initramfs(&programs))?;
        Ok(Self { kernel: kernel_of(&modules), initramfs, programs })
    }

    /// Puts all that a guest has in a directory of the host's, which is to be the root of its disk.
    pub(super) fn install(&self, root: &Path) -> Result<()> {
        MOUNT_POINTS.iter().try_for_each(|name| fs::create_dir_all(root.join(name)))?;
        for (path, content) in &self.programs {
            let path = root.join(path.strip_prefix("/").unwrap_or(path));
            fs::create_dir_all(path.parent().context("it is in a directory")?)?;
            let mut file = File::options().write(true).create(true).truncate(true).mode(0o755).open(path)?;
            file.write_all(content)?;
        }
        Ok(())
    }
}

/// Returns the directory with the modules of the newest kernel that is made for guests.
fn newest_kernel() -> Result<Option<PathBuf>> {
    let Ok(all) = fs::read_dir("/lib/modules") else { return Ok(None) };
    let all = all.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let made_for_guests = |path: &PathBuf| path.as_os_str().to_string_lossy().ends_with("-cloud-amd64");
    Ok(all
        .into_iter()
        .filter(made_for_guests)
        .filter(|path| kernel_of(path).is_file())
        .max_by_key(|path| numbers(path)))
}

/// Returns the kernel whose modules are in that directory.
fn kernel_of(modules: &Path) -> PathBuf {
    let version = modules.file_name().unwrap_or_default().to_string_lossy();
    Path::new("/boot").join(format!("vmlinuz-{version}"))
}

/// Returns the numbers in a name: 6.1.0-9 is older than 6.1.0-10.
fn numbers(path: &Path) -> Vec<u64> {
    let name = path.as_os_str().to_string_lossy().into_owned();
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// Returns all that the guest has, and where.
fn programs(modules: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let read = |from: &Path| fs::read(from).with_context(|| format!("cannot read {}", from.display()));
    let mut programs: Vec<(PathBuf, Vec<u8>)> = vec![
        ("init".into(), INIT.into()),
        ("bin/busybox".into(), read(&find("busybox").context("it was there")?)?),
        ("bin/sockets".into(), read(&build_for_guests()?)?),
    ];
    let list = modules.join("modules.dep");
    let text = fs::read_to_string(&list)?;
    programs.push((list, text.clone().into()));
    for file in MODULES.iter().flat_map(|module| files_of(module, &text)) {
        let path = modules.join(file);
        programs.push((path.clone(), read(&path)?));
    }
    Ok(programs)
}

fn make_initramfs(programs: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    let mut initramfs = Initramfs::new();
    MOUNT_POINTS.iter().for_each(|name| initramfs.directory(Path::new(name)));
    programs.iter().for_each(|(path, content)| initramfs.program(path, content));
    initramfs.finish()
}

/// Returns the files of a module and of those that it needs, which are none if it is a part of the kernel itself.
fn files_of<'l>(module: &str, list: &'l str) -> Vec<&'l str> {
    let is_module = |line: &&str| {
        let file = line.split(':').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        file.strip_prefix(module).is_some_and(|suffix| suffix.starts_with(".ko"))
    };
    let line = list.lines().find(is_module).unwrap_or_default();
    line.split([':', ' ']).filter(|path| !path.is_empty()).collect()
}
