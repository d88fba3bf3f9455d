//! The file system that a guest boots with.
//!
//! It is an archive in the format that `cpio` calls `newc`, which the kernel unpacks into memory.

#![expect(
    clippy::cast_possible_truncation,
    reason = "the format has 32 bits for a length, and a kernel takes no such files"
)]

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// An archive that is being written.
pub(super) struct Initramfs {
    bytes: Vec<u8>,
    entries: u32,
}

impl Initramfs {
    pub(super) const fn new() -> Self {
        Self { bytes: Vec::new(), entries: 0 }
    }

    /// Adds a directory, and those that it is in. That one is there already is no harm.
    pub(super) fn directory(&mut self, path: &Path) {
        let mut parents: Vec<_> = path.ancestors().filter(|path| path.components().next().is_some()).collect();
        parents.reverse();
        parents.into_iter().for_each(|path| self.entry(path, DIRECTORY, &[]));
    }

    /// Adds a file that can be executed, and the directories that it is in.
    pub(super) fn program(&mut self, path: &Path, content: &[u8]) {
        let path: PathBuf = path.components().filter(|part| *part != Component::RootDir).collect();
        path.parent().into_iter().for_each(|parent| self.directory(parent));
        self.entry(&path, PROGRAM, content);
    }

    /// Ends the archive, and returns it.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry(Path::new("TRAILER!!!"), 0, &[]);
        self.bytes
    }

    /// Writes a magic number, 13 fields of eight hexadecimal digits, the name and the content, the last two of which
    /// are padded to multiples of four bytes.
    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) {
        self.entries += 1;
        let name = path.as_os_str().as_encoded_bytes();
        let (size, name_size) = (content.len() as u32, name.len() as u32 + 1);
        let [uid, gid, mtime, major, minor, device_major, device_minor, check] = [0; 8];
        let fields =
            [self.entries, mode, uid, gid, 1, mtime, size, major, minor, device_major, device_minor, name_size, check];
        let header = fields.iter().fold("070701".to_owned(), |mut header, field| {
            let _ = write!(header, "{field:08x}");
            header
        });
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name);
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
