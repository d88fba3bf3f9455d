//! Input and output past the page cache.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use rustix::fs::{AtFlags, StatxFlags, ioctl_blkpbszget, ioctl_blksszget, statx};
use virtio_mem_traits::IoVec;

/// The alignment if the kernel does not say which one is needed. No known device needs a larger one.
const SAFE: u32 = 4096;

/// A file that is open a second time, past the page cache of the host.
///
/// The kernel takes only what is [aligned](Alignment) there. All else goes through the page cache, with the file as it
/// was opened first. The kernel keeps both ways consistent. A buffer of our own would not be better: a write of a part
/// of a block would have to read the rest of the block first, and to keep others from writing it meanwhile. The page
/// cache does that.
#[derive(Debug)]
pub struct Direct {
    file: File,
    alignment: Alignment,
    physical: u32,
}

/// What a request past the page cache must be a multiple of, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alignment {
    /// For the addresses of its pieces.
    pub memory: u32,
    /// For its offset, and for the lengths of its pieces.
    pub offset: u32,
}

impl Direct {
    /// Opens `file` once more.
    ///
    /// # Errors
    ///
    /// If the file system has nothing of that kind.
    pub(super) fn new(file: &File, read_only: bool) -> io::Result<Self> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let direct = File::options().read(true).write(!read_only).custom_flags(libc::O_DIRECT).open(path)?;
        let found = statx(&direct, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN | StatxFlags::BASIC_STATS)?;
        let is_device = direct.metadata()?.file_type().is_block_device();
        let known = found.stx_mask & StatxFlags::DIOALIGN.bits() != 0;
        let alignment = match (known, is_device) {
            (true, _) => Alignment { memory: found.stx_dio_mem_align, offset: found.stx_dio_offset_align },
            (false, true) => Alignment { memory: SAFE, offset: ioctl_blksszget(&direct)? },
            (false, false) => Alignment { memory: SAFE, offset: SAFE },
        };
        let Alignment { memory, offset } = alignment;
        if !memory.is_power_of_two() || !offset.is_power_of_two() {
            let text = format!("the page cache cannot be passed by: alignments of {memory} and {offset} bytes");
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let physical = if is_device { ioctl_blkpbszget(&direct)? } else { found.stx_blksize };
        Ok(Self { file: direct, alignment, physical: physical.max(offset) })
    }

    /// Returns the file.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Returns what requests have to be like.
    #[must_use]
    pub const fn alignment(&self) -> Alignment {
        self.alignment
    }

    /// Returns the size of the blocks in which the medium works.
    pub(super) const fn physical_block_size(&self) -> u32 {
        self.physical
    }
}

impl Alignment {
    /// Returns whether these pieces can be moved from or to `offset`.
    ///
    /// ```
    /// use virtio_examples::blk::Alignment;
    /// use virtio_mem_traits::{Access, DriverAddr, DriverMem, HeapMem, IoVec};
    ///
    /// let alignment = Alignment { memory: 4, offset: 512 };
    /// let mem = HeapMem::new(DriverAddr(0), 0x1000)?;
    /// let range = mem.translate_all(mem.range(), Access::Write)?;
    /// let range = range.after(range.as_ptr().as_ptr().align_offset(512));
    /// let pieces: [IoVec; 2] = [range.prefix(512).into(), range.after(1024).prefix(1024).into()];
    /// assert!(alignment.fits(&pieces, 1024));
    /// assert!(!alignment.fits(&pieces, 1000));
    /// assert!(!alignment.fits(&[range.prefix(500).into()], 1024));
    /// assert!(!alignment.fits(&[range.after(2).prefix(512).into()], 1024));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn fits(self, pieces: &[IoVec], offset: u64) -> bool {
        let [memory, unit] = [self.memory, self.offset].map(|bytes| bytes as usize);
        let aligned = |piece: &IoVec| piece.base().addr() % memory == 0 && piece.len() % unit == 0;
        offset % u64::from(self.offset) == 0 && pieces.iter().all(aligned)
    }
}
