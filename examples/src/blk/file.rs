//! A storage in a file.

use core::error::Error;
use core::fmt;
use core::num::NonZeroU64;
use std::fs::{self, File};
use std::io::{self, IoSliceMut, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};

use libc::RWF_NOWAIT;
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate, ioctl_blksszget};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use virtio_mem_traits::DeviceRange;

use super::direct::Direct;
use super::storage::{Storage, whole_blocks, write_zeroes};
use super::straight;

/// A storage in a regular file, or in a block device of the host. The file never becomes longer.
#[derive(Debug)]
pub struct FileStorage {
    file: File,
    size: u64,
    block_size: u32,
    read_only: bool,
    /// Whether the file system supports reads that fail instead of waiting.
    reads_now: bool,
    /// The same file past the page cache, for requests that are aligned.
    direct: Option<Direct>,
}

impl FileStorage {
    /// Opens the file at `path` for reading and writing.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened, is empty, or is not a regular file or a block device.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileStorageError> {
        Self::open_with(path.as_ref(), false)
    }

    /// Opens the file at `path` for reading.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, FileStorageError> {
        Self::open_with(path.as_ref(), true)
    }

    fn open_with(path: &Path, read_only: bool) -> Result<Self, FileStorageError> {
        let failed = |error| FileStorageError::Io { path: path.into(), error };
        // The type is checked before the file is opened, because to open a pipe can wait forever.
        let kind = fs::metadata(path).map_err(failed)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(FileStorageError::NotAFile { path: path.into() });
        }
        let mut file = File::options().read(true).write(!read_only).open(path).map_err(failed)?;
        // A block device has no length in its metadata.
        let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
        if size == 0 {
            return Err(FileStorageError::Empty { path: path.into() });
        }
        let block_size =
            if kind.is_block_device() { ioctl_blksszget(&file).map_err(|error| failed(error.into()))? } else { 512 };
        let reads_now =
            preadv2(&file, &mut [IoSliceMut::new(&mut [0])], 0, ReadWriteFlags::NOWAIT) != Err(Errno::OPNOTSUPP);
        Ok(Self { file, size, block_size, read_only, reads_now, direct: None })
    }

    /// Reads and writes past the page cache of the host from now on, as far as requests are aligned. Others go through
    /// the page cache.
    ///
    /// # Errors
    ///
    /// If the file system cannot do that.
    pub fn past_the_page_cache(mut self) -> io::Result<Self> {
        let direct = Direct::new(&self.file, self.read_only)?;
        self.block_size = self.block_size.max(direct.alignment().offset);
        self.direct = Some(direct);
        Ok(self)
    }

    /// Returns the file for a request: past the page cache, if that is wished and possible.
    fn file_for(&self, pieces: &[DeviceRange<'_>], offset: u64) -> &File {
        let fits = |direct: &&Direct| pieces.iter().all(|piece| direct.alignment().fits(&[(*piece).into()], offset));
        let direct = self.direct.as_ref().filter(fits);
        direct.map_or(&self.file, Direct::file)
    }
}

impl Storage for FileStorage {
    fn size(&self) -> u64 {
        self.size
    }

    /// That of a block device is one that its host cannot do without. A file takes bytes anywhere, unless requests are
    /// to pass the page cache by.
    fn block_size(&self) -> u32 {
        self.block_size
    }

    fn physical_block_size(&self) -> Option<u32> {
        self.direct.as_ref().map(Direct::physical_block_size)
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }

    fn read_into(&self, pieces: &[DeviceRange<'_>], offset: u64) -> io::Result<()> {
        straight::read(self.file_for(pieces, offset), pieces, offset, 0)
    }

    /// Reads bytes that are in the page cache.
    ///
    /// If the bytes are not there, the kernel starts to read them. So many reads wait together. A read that does not
    /// wait costs one system call.
    fn read_now(&self, pieces: &[DeviceRange<'_>], offset: u64) -> io::Result<()> {
        if !core::ptr::eq(self.file_for(pieces, offset), &raw const self.file) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.reads_now && straight::read(&self.file, pieces, offset, RWF_NOWAIT).is_ok() {
            return Ok(());
        }
        let len = pieces.iter().map(|piece| piece.len() as u64).sum();
        // This is a hint. A later read that waits reports any error.
        let _ = fadvise(&self.file, offset, NonZeroU64::new(len), Advice::WillNeed);
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn write_from(&self, pieces: &[DeviceRange<'_>], offset: u64) -> io::Result<()> {
        straight::write(self.file_for(pieces, offset), pieces, offset)
    }

    fn file(&self) -> Option<&File> {
        Some(&self.file)
    }

    fn direct(&self) -> Option<&Direct> {
        self.direct.as_ref()
    }

    fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Lets the file system write the zeroes, if it can. Then it writes no data, or waits for its medium. A block
    /// device can zero only whole blocks.
    fn write_zeroes(&self, offset: u64, len: u64) -> io::Result<()> {
        match fallocate(&self.file, FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE, offset, len) {
            Err(Errno::OPNOTSUPP | Errno::INVAL) => write_zeroes(self, offset, len),
            result => result.map_err(io::Error::from),
        }
    }

    fn can_release(&self) -> bool {
        true
    }

    /// Makes a hole in the file, whose bytes are read as zeroes. What does not fill a block of the file system is
    /// written.
    fn release(&self, offset: u64, len: u64) -> io::Result<()> {
        match fallocate(&self.file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len) {
            Err(Errno::OPNOTSUPP | Errno::INVAL) => self.write_zeroes(offset, len),
            result => result.map_err(io::Error::from),
        }
    }

    /// Makes a hole in the file, where the file system can: of whole blocks.
    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        let Some((start, len)) = whole_blocks(self.block_size, offset, len) else { return Ok(()) };
        match fallocate(&self.file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, start, len) {
            Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The reason why a file cannot be a storage.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileStorageError {
    /// The file cannot be opened.
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The path is neither a regular file nor a block device.
    NotAFile {
        /// The path of the file.
        path: PathBuf,
    },
    /// The file is empty.
    Empty {
        /// The path of the file.
        path: PathBuf,
    },
}

impl fmt::Display for FileStorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::NotAFile { path } => write!(f, "{}: neither a file nor a block device", path.display()),
            Self::Empty { path } => write!(f, "{}: an empty file cannot be a disk", path.display()),
        }
    }
}

impl Error for FileStorageError {}

#[cfg(test)]
mod tests {
    use std::{env, process};

    use super::*;

    #[test]
    fn only_whole_blocks_are_discarded() {
        let path = env::temp_dir().join(format!("virtio-examples-discard-{}", process::id()));
        fs::write(&path, [7; 16384]).unwrap();
        let storage = FileStorage { block_size: 4096, ..FileStorage::open(&path).unwrap() };
        fs::remove_file(&path).unwrap();
        let zeroes = |storage: &FileStorage| {
            let mut bytes = [0; 16384];
            storage.read_at(&mut bytes, 0).unwrap();
            bytes.iter().filter(|byte| **byte == 0).count()
        };
        for (offset, len, discarded) in [(512, 512, 0), (512, 7167, 0), (512, 7680, 4096), (8192, 4096, 8192)] {
            storage.discard(offset, len).unwrap();
            assert_eq!(zeroes(&storage), discarded, "{len} bytes at {offset}");
        }
    }

    #[test]
    fn file_system_whose_reads_wait_is_not_asked_for_others() {
        // The kernel creates the contents of this file when it is read.
        assert!(!FileStorage::open_read_only("/sys/kernel/notes").unwrap().reads_now);
    }
}
