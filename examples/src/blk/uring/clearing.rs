//! What discards sectors, and what writes zeroes: one operation after the other.
//!
//! The kernel does these on threads of its own, because a file system can need long for them. What a file system cannot
//! do is done in the next best way, as by [`FileStorage`](crate::blk::FileStorage):
//!
//! ```text
//! discard              make holes in whole blocks    or leave it
//! zeroes, with UNMAP   make holes                    or zero a range    or write zeroes
//! zeroes               zero a range                  or write zeroes
//! ```

use std::io;

use arrayvec::ArrayVec;
use virtio_chain::Reader;
use virtio_queue_core::ChainElements;

use super::super::BlockDevice;
use super::super::request::Extent;
use super::super::storage::{Storage, whole_blocks};
use super::super::wire::{MAX_SEGMENTS, Segment};

/// What is left to clear for a request.
pub(super) struct Clearing {
    /// The next one is the last one.
    steps: ArrayVec<Step, { MAX_SEGMENTS as usize }>,
    /// Whether all of it must be stable before the answer.
    pub(super) stable: bool,
}

/// What the kernel does next for a request.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) way: Way,
    pub(super) offset: u64,
    /// It is not 0.
    pub(super) len: u64,
}

/// How a part of the file is cleared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By a hole, if the file system can do that.
    Discard,
    /// By a hole.
    Release,
    /// In place, by the file system.
    Zero,
    /// By a write.
    Write,
}

impl Clearing {
    /// Takes apart a request to discard, whose header has been read. Returns `None` if it is not in order, or if the
    /// storage has another idea of it than to make a hole.
    pub(super) fn to_discard<S: Storage>(
        device: &BlockDevice<S>,
        request: &mut Reader<impl ChainElements>,
    ) -> Option<Self> {
        let (storage, extents) = (device.storage(), device.extents(request, 0).ok()?);
        let step = |extent: &Extent| {
            let (offset, len) = whole_blocks(storage.block_size(), extent.offset, extent.len)?;
            Some(Step { way: Way::Discard, offset, len })
        };
        let steps = extents.iter().rev().filter_map(step).collect();
        storage.can_release().then_some(Self { steps, stable: false })
    }

    /// Takes apart a request to write zeroes, whose header has been read. Returns `None` if it is not in order.
    pub(super) fn to_zero<S: Storage>(
        device: &BlockDevice<S>,
        request: &mut Reader<impl ChainElements>,
    ) -> Option<Self> {
        let (can_release, extents) = (device.storage().can_release(), device.extents(request, Segment::UNMAP).ok()?);
        let step = |Extent { offset, len, unmap }: &Extent| {
            let way = if *unmap && can_release { Way::Release } else { Way::Zero };
            (*len > 0).then_some(Step { way, offset: *offset, len: *len })
        };
        Some(Self { steps: extents.iter().rev().filter_map(step).collect(), stable: device.writes_through() })
    }

    /// Returns what the kernel is to do next, if anything is left.
    pub(super) fn next(&self) -> Option<Step> {
        self.steps.last().copied()
    }

    /// Takes note of how the last step has ended: for a write, with the number of bytes.
    ///
    /// # Errors
    ///
    /// If it has failed, and there is no other way.
    pub(super) fn ended(&mut self, result: io::Result<usize>) -> io::Result<()> {
        let Some(step) = self.steps.last_mut() else { return Ok(()) };
        match (step.way, result) {
            (Way::Write, Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            (Way::Write, Ok(written)) => {
                let written = step.len.min(written as u64);
                (step.offset, step.len) = (step.offset + written, step.len - written);
            }
            (_, Ok(_)) => step.len = 0,
            (Way::Discard, Err(error)) if cannot(&error, &[libc::EOPNOTSUPP]) => step.len = 0,
            (Way::Release, Err(error)) if cannot(&error, &[libc::EOPNOTSUPP, libc::EINVAL]) => step.way = Way::Zero,
            (Way::Zero, Err(error)) if cannot(&error, &[libc::EOPNOTSUPP, libc::EINVAL]) => step.way = Way::Write,
            (_, Err(error)) => return Err(error),
        }
        if step.len == 0 {
            self.steps.pop();
        }
        Ok(())
    }
}

/// Returns whether an operation has failed because the file has nothing of the kind.
fn cannot(error: &io::Error, numbers: &[i32]) -> bool {
    error.raw_os_error().is_some_and(|number| numbers.contains(&number))
}
