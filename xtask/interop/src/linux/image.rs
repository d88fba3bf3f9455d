//! A disk with a file system, as the host makes it and finds it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rand::Rng;
use tempfile::TempDir;

use super::system::System;
use xtask_support::Hash;
use xtask_support::command::run;

/// The size of the disk, as mke2fs reads it.
const SIZE: &str = "24M";

/// The lengths of the files that the host puts there, which are called by them.
const LENGTHS: [usize; 6] = [0, 1, 511, 4096, 70_001, 3 << 20];

/// An image with a file system on it, and in that the directories `host` and `guest`.
pub(super) struct Image {
    directory: TempDir,
}

impl Image {
    /// Makes an image with random files in both directories.
    pub(super) fn new() -> Result<Self> {
        Self::made_from(|_| Ok(()))
    }

    /// Makes one with 8 MiB behind the file system.
    pub(super) fn with_room() -> Result<Self> {
        Self::new()?.extended()
    }

    /// Makes one with room that a system is on, too: it can be the root of a guest.
    pub(super) fn with_system(system: &System) -> Result<Self> {
        Self::made_from(|root| system.install(root))?.extended()
    }

    /// Makes an image with random files in both directories, and with what `more` puts beside them.
    fn made_from(more: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let image = Self { directory: TempDir::new()? };
        let root = image.directory.path().join("root");
        for name in ["host", "guest"] {
            let directory = root.join(name);
            fs::create_dir_all(&directory)?;
            LENGTHS.iter().try_for_each(|len| fs::write(directory.join(len.to_string()), random(*len)))?;
        }
        more(&root)?;
        run(Command::new("mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(root).arg(image.path()).arg(SIZE))?;
        Ok(image)
    }

    fn extended(self) -> Result<Self> {
        let file = File::options().write(true).open(self.path())?;
        file.set_len(file.metadata()?.len() + (8 << 20))?;
        Ok(self)
    }

    /// Returns where it is.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    /// Returns the hash of all of it.
    pub(super) fn hash(&self) -> Result<String> {
        Ok(Hash::of(File::open(self.path())?)?.to_string())
    }

    /// Returns the hash of the hashes and the names of the files in a directory, as `sha256sum * | sha256sum` has it.
    pub(super) fn hash_of_files(&self, directory: &str) -> Result<String> {
        let copy = TempDir::new()?;
        let request = format!("rdump /{directory} {}", copy.path().display());
        run(Command::new("debugfs").arg("-R").arg(request).arg(self.path()))?;
        hash_of_files(&copy.path().join(directory))
    }

    /// Sees whether the file system is in order.
    ///
    /// # Errors
    ///
    /// If it is not.
    pub(super) fn check(&self) -> Result<()> {
        run(Command::new("e2fsck").arg("-fn").arg(self.path()))
    }
}

fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

fn hash_of_files(directory: &Path) -> Result<String> {
    let entries = fs::read_dir(directory).with_context(|| format!("no directory {}", directory.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    let mut list = String::new();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        list += &format!("{}  {name}\n", Hash::of(File::open(path)?)?);
    }
    Ok(Hash::of(list.as_bytes())?.to_string())
}
