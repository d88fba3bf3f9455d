//! Reading and writing driver memory by system calls, without a copy in between.

use core::ffi::c_int;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use arrayvec::ArrayVec;
use libc::{off_t, preadv2, pwritev2};
use virtio_chain::{IoVec, Reader, TransferCause, TransferFailed, Writer};
use virtio_mem_traits::{Access, DeviceRange};
use virtio_queue_core::ChainElements;

/// The most pieces of memory for a system call. The kernel would take 1024.
const MAX_PIECES: usize = 64;

/// Copies the `len` bytes of `file` at `offset` to the next bytes of `payload`, and returns how many: fewer only if it
/// ends.
pub(super) fn read_chain(
    file: &File,
    payload: &mut Writer<impl ChainElements>,
    len: u64,
    offset: u64,
) -> Result<u64, TransferCause<io::Error>> {
    until_whole(len, |done| {
        let mut place = offset + done;
        payload.transfer(len - done, |pieces| {
            // SAFETY: (1) the chain is borrowed, so that its memory is there until this returns; it was translated to
            // be written.
            let count = unsafe { read_vectors(file, pieces, place, 0) }?;
            place += count as u64;
            Ok(count)
        })
    })
}

/// Copies the next `len` bytes of `payload` to `offset` in `file`, and returns how many: fewer only if it ends.
pub(super) fn write_chain(
    file: &File,
    payload: &mut Reader<impl ChainElements>,
    len: u64,
    offset: u64,
) -> Result<u64, TransferCause<io::Error>> {
    until_whole(len, |done| {
        let mut place = offset + done;
        payload.transfer(len - done, |pieces| {
            // SAFETY: (1) the chain is borrowed, so that its memory is there until this returns; it was translated to
            // be read.
            let count = unsafe { write_vectors(file, pieces, place) }?;
            place += count as u64;
            Ok(count)
        })
    })
}

/// Calls `transfer` with how many bytes are done until these are `len`, or there are no more: a system call may move
/// fewer than it was asked for.
fn until_whole(
    len: u64,
    mut transfer: impl FnMut(u64) -> Result<u64, TransferFailed<io::Error>>,
) -> Result<u64, TransferCause<io::Error>> {
    let mut done = 0;
    while done < len {
        match transfer(done).map_err(|failed| failed.cause)? {
            0 => break,
            moved => done += moved,
        }
    }
    Ok(done)
}

/// Copies the bytes of `file` at `offset` into `pieces`, all of them. The `flags` are those of `preadv2`.
pub(super) fn read(file: &File, pieces: &[DeviceRange<'_>], offset: u64, flags: c_int) -> io::Result<()> {
    all(pieces, offset, Access::Write, |vectors, place| {
        // SAFETY: (1) they stand for `pieces`, whose memory is there until this returns; `all` checked that it may be
        // written.
        unsafe { read_vectors(file, vectors, place, flags) }
    })
}

/// Copies all of `pieces` to `offset` in `file`.
pub(super) fn write(file: &File, pieces: &[DeviceRange<'_>], offset: u64) -> io::Result<()> {
    all(pieces, offset, Access::Read, |vectors, place| {
        // SAFETY: (1) they stand for `pieces`, whose memory is there until this returns; `all` checked that it may be
        // read.
        unsafe { write_vectors(file, vectors, place) }
    })
}

/// Calls `transfer` until all of `pieces` have been moved, which must be for `access`.
fn all(
    pieces: &[DeviceRange<'_>],
    offset: u64,
    access: Access,
    transfer: impl Fn(&[IoVec], u64) -> io::Result<usize>,
) -> io::Result<()> {
    if !pieces.iter().all(|piece| piece.access().allows(access)) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let len: usize = pieces.iter().map(DeviceRange::len).sum();
    // PERF: a single piece needs no array (`blk-cached`).
    let mut done = if let [piece] = pieces { transfer(&[(*piece).into()], offset)? } else { 0 };
    while done < len {
        done += transfer(&vectors(pieces, done), offset.saturating_add(done as u64))?;
    }
    Ok(())
}

/// Returns the first pieces after `done` bytes.
fn vectors(pieces: &[DeviceRange<'_>], mut done: usize) -> ArrayVec<IoVec, MAX_PIECES> {
    let left = pieces.iter().map(|piece| {
        let rest = piece.after(done);
        done -= piece.len() - rest.len();
        rest
    });
    left.filter(|piece| !piece.is_empty()).take(MAX_PIECES).map(IoVec::from).collect()
}

/// Copies bytes of `file` at `offset` into `pieces`, and returns how many: at least one.
///
/// # Safety
///
/// 1. Until this returns, the memory that `pieces` stand for is valid, and the device may write it.
unsafe fn read_vectors(file: &File, pieces: &[IoVec], offset: u64, flags: c_int) -> io::Result<usize> {
    let (fd, place, count) = (file.as_raw_fd(), to_place(offset)?, to_count(pieces)?);
    // SAFETY: an array of `IoVec` is one of `iovec`, and there are `count` of them; the kernel writes what they stand
    // for, by (1), and until this returns.
    moved(|| unsafe { preadv2(fd, pieces.as_ptr().cast(), count, place, flags) })
}

/// Copies bytes of `pieces` to `offset` in `file`, and returns how many: at least one.
///
/// # Safety
///
/// 1. Until this returns, the memory that `pieces` stand for is valid, and the device may read it.
unsafe fn write_vectors(file: &File, pieces: &[IoVec], offset: u64) -> io::Result<usize> {
    let (fd, place, count) = (file.as_raw_fd(), to_place(offset)?, to_count(pieces)?);
    // SAFETY: an array of `IoVec` is one of `iovec`, and there are `count` of them; the kernel reads what they stand
    // for, by (1), and until this returns.
    moved(|| unsafe { pwritev2(fd, pieces.as_ptr().cast(), count, place, 0) })
}

fn to_place(offset: u64) -> io::Result<off_t> {
    off_t::try_from(offset).map_err(io::Error::other)
}

fn to_count(pieces: &[IoVec]) -> io::Result<c_int> {
    c_int::try_from(pieces.len()).map_err(io::Error::other)
}

/// Returns how many bytes a system call has moved, which is asked again if a signal came first. None is the end of the
/// file.
fn moved(call: impl Fn() -> isize) -> io::Result<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => return Ok(count),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
}
