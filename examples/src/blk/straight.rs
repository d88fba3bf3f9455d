//! Reading and writing driver memory by system calls, without a copy in between.

use core::ffi::c_int;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use arrayvec::ArrayVec;
use libc::{iovec, off_t, preadv2, pwritev2};
use static_assertions::{const_assert, const_assert_eq};
use virtio_chain::IoVec;
use virtio_mem_traits::{Access, DeviceRange};

/// The most pieces of memory for a system call. The kernel would take 1024.
const MAX_PIECES: usize = 64;

const_assert_eq!(size_of::<IoVec<'_>>(), size_of::<iovec>());
const_assert_eq!(align_of::<IoVec<'_>>(), align_of::<iovec>());
const_assert!(MAX_PIECES <= 1024);

/// Pieces for a system call.
struct Vectors<'m>(
    /// INVARIANT: each may be accessed as [`all`] was told, during `'m`.
    ArrayVec<IoVec<'m>, MAX_PIECES>,
);

impl Vectors<'_> {
    fn as_ptr(&self) -> *const iovec {
        self.0.as_ptr().cast()
    }

    fn count(&self) -> c_int {
        c_int::try_from(self.0.len()).unwrap_or_default()
    }
}

/// Copies the bytes of `file` at `offset` into `pieces`, all of them. The `flags` are those of `preadv2`.
pub(super) fn read(file: &File, pieces: &[DeviceRange<'_>], offset: u64, flags: c_int) -> io::Result<()> {
    let fd = file.as_raw_fd();
    all(pieces, offset, Access::Write, |vectors, offset| {
        // SAFETY: `as_ptr` points to `count` vectors, which are an address and a length as in `iovec`; by the invariant of
        // `Vectors` the kernel may write what they stand for, and it does so until this returns.
        unsafe { preadv2(fd, vectors.as_ptr(), vectors.count(), offset, flags) }
    })
}

/// Copies all of `pieces` to `offset` in `file`.
pub(super) fn write(file: &File, pieces: &[DeviceRange<'_>], offset: u64) -> io::Result<()> {
    let fd = file.as_raw_fd();
    all(pieces, offset, Access::Read, |vectors, offset| {
        // SAFETY: `as_ptr` points to `count` vectors, which are an address and a length as in `iovec`; by the invariant of
        // `Vectors` the kernel may read what they stand for, and it does so until this returns.
        unsafe { pwritev2(fd, vectors.as_ptr(), vectors.count(), offset, 0) }
    })
}

/// Calls `transfer` until all of `pieces` have been moved, which are for `access`.
fn all<'m>(
    pieces: &[DeviceRange<'m>],
    offset: u64,
    access: Access,
    transfer: impl Fn(&Vectors<'m>, off_t) -> isize,
) -> io::Result<()> {
    if !pieces.iter().all(|piece| piece.access().allows(access)) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let len: usize = pieces.iter().map(DeviceRange::len).sum();
    let mut done = 0;
    while done < len {
        let place = off_t::try_from(offset.saturating_add(done as u64)).map_err(io::Error::other)?;
        match usize::try_from(transfer(&vectors(pieces, done), place)) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(moved) => done += moved,
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
    Ok(())
}

/// Returns the first pieces of what is left behind `done` bytes.
fn vectors<'m>(pieces: &[DeviceRange<'m>], mut done: usize) -> Vectors<'m> {
    let left = pieces.iter().map(|piece| {
        let rest = piece.after(done);
        done -= piece.len() - rest.len();
        rest
    });
    Vectors(left.filter(|piece| !piece.is_empty()).take(MAX_PIECES).map(IoVec::from).collect())
}
