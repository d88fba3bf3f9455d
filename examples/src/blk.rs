//! The virtio block device.
//!
//! VIRTIO 1.4 §5.2 "Block Device". A [`BlockDevice`] serves a [`Storage`]: a file, memory, or your own type. It reads,
//! writes, flushes, discards, writes zeroes, and reports its name. A device serves one queue. For several queues,
//! several devices can share a storage.

mod batch;
mod error;
mod file;
mod memory;
mod moving;
mod null;
mod request;
mod serve;
mod storage;
#[expect(unsafe_code, reason = "system calls take pointers")]
mod straight;
mod uring;
mod wire;

use core::fmt;

use virtio_chain::{Reader, TransferError, Writer};
use virtio_queue_core::{Chain, DriverNotify, FatalError, QueueState, Ring};

pub use error::RequestError;
pub use file::{FileStorage, FileStorageError};
pub use memory::MemStorage;
pub use null::NullStorage;
pub use storage::Storage;
pub use uring::{Progress, UringDisk};
pub use wire::{
    BlockConfig, DeviceId, MAX_SEGMENT_SECTORS, MAX_SEGMENTS, RequestHeader, RequestType, SECTOR_SIZE, Segment, Status,
    feature,
};

use virtio_vhost_user::{Device, Served};

/// A block device on a storage.
///
/// It allocates nothing.
#[derive(Clone)]
pub struct BlockDevice<S> {
    storage: S,
    /// The size of the storage. It does not change.
    size: u64,
    id: DeviceId,
    /// Whether the driver flushes. If so, a write does not need to be stable immediately.
    writeback: bool,
}

impl<S: Storage> BlockDevice<S> {
    /// Creates a device on `storage`. Drivers see the name `id`.
    #[must_use]
    pub fn new(storage: S, id: DeviceId) -> Self {
        let size = storage.size();
        Self { storage, size, id, writeback: false }
    }

    /// Sets the features that the driver accepted.
    ///
    /// With [`feature::FLUSH`], writes are stable only after a flush. Without it, and before this call, each write is
    /// stable before it completes: VIRTIO 1.4 §5.2.6.2 "Device Requirements: Device Operation".
    pub const fn accept(&mut self, features: u64) {
        self.writeback = features & feature::FLUSH != 0;
    }

    /// Returns the features that the device offers, without those of the queue: VIRTIO 1.4 §5.2.3 "Feature bits".
    #[must_use]
    pub fn features(&self) -> u64 {
        let access = if self.storage.read_only() { feature::RO } else { feature::DISCARD | feature::WRITE_ZEROES };
        feature::SEG_MAX | feature::BLK_SIZE | feature::FLUSH | access
    }

    /// Returns the configuration space, for a queue of at most `queue_size` descriptors: VIRTIO 1.4 §5.2.4 "Device
    /// configuration layout".
    #[must_use]
    pub fn config(&self, queue_size: u16) -> BlockConfig {
        BlockConfig::new(self.capacity(), self.storage.block_size(), queue_size)
    }

    /// Returns whether a write must be stable before it is answered.
    const fn writes_through(&self) -> bool {
        !self.writeback
    }

    /// Returns the number of sectors. The last sector can be incomplete.
    fn capacity(&self) -> u64 {
        self.size.div_ceil(SECTOR_SIZE)
    }

    /// Returns the storage.
    #[must_use]
    pub const fn storage(&self) -> &S {
        &self.storage
    }
}

/// Implements VIRTIO 1.4 §5.2.6 "Device Operation".
///
/// A request has a readable header and an optional readable payload. Then come an optional writable payload and, last,
/// a writable status. The device finds the parts by counting bytes, however the driver has cut them (FRAME-1).
///
/// The used length counts the bytes that were written without a hole. If the whole payload was written, it counts the
/// payload and the status. If the payload is missing, it does not count the status.
impl<S: Storage> Device for BlockDevice<S> {
    type Error = RequestError;

    fn process(&mut self, chain: impl Chain) -> Result<u64, RequestError> {
        let (mut request, mut payload) = (Reader::new(&chain), Writer::new(&chain));
        // After an error here, the driver gets no status, because the device cannot find a place for it.
        let mut status = payload.split_last(1).map_err(|error| match error {
            TransferError::Short { .. } => RequestError::NoStatus,
            error => error.into(),
        })?;

        let result = self.execute(&mut request, &mut payload);
        let told = status.write_obj(&result.as_ref().map_or_else(RequestError::status, |_| Status::Ok));
        // The part was split off here, so the join cannot fail.
        let _ = payload.join(status);
        let written = payload.prefix();
        chain.return_unchecked(written).map_err(|refused| RequestError::Return(refused.error))?;
        told?;
        result
    }

    fn serve_parts<R: Ring, N: DriverNotify>(
        &mut self,
        ring: &R,
        state: &mut QueueState<R, N>,
        budget: u32,
    ) -> Result<Served, FatalError> {
        self.serve_batches(ring, state, budget)
    }
}

impl<S: fmt::Debug> fmt::Debug for BlockDevice<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockDevice").field("storage", &self.storage).field("id", &self.id).finish_non_exhaustive()
    }
}
