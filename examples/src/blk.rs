//! The virtio block device.
//!
//! VIRTIO 1.4 §5.2 "Block Device". A [`BlockDevice`] serves a [`Storage`]: a file, memory, or your own type. It reads,
//! writes, flushes, discards, writes zeroes, and reports its name. A device serves one queue. For several queues,
//! several devices can share a storage.
//!
//! A [`UringDisk`](uring::UringDisk) does the same on a file, with many requests in flight.
//!
//! # How to read it
//!
//! This file has what the driver sees of the device: its features, its configuration space, and a request with its
//! answer. What a request does is in `request.rs`. That is all a block device needs. The rest is for speed, or is what
//! the sectors are on:
//!
//! | file | what |
//! | --- | --- |
//! | `wire.rs` | the structures and the numbers of the specification |
//! | `request.rs` | what each type of request does |
//! | `error.rs`, `cache.rs` | why a request fails; the mode of the write cache |
//! | `storage.rs` | the trait [`Storage`]: what the sectors are on |
//! | `file.rs`, `direct.rs`, `memory.rs`, `null.rs` | a file, past the page cache or not; memory; nothing |
//! | `moving.rs`, `straight.rs` | bytes between a storage and a chain, without a copy in between |
//! | `serve.rs`, `batch.rs` | many requests at a time, to wait for the medium once for all of them |
//! | `uring.rs`, `uring/` | requests that are in flight, and are answered when the kernel has done them |

mod batch;
mod cache;
mod direct;
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
pub mod uring;
mod wire;

use core::fmt;
use core::mem::offset_of;

use virtio_chain::{Reader, TransferError, Writer};
use virtio_queue_core::{Chain, DriverNotify, FatalError, QueueState, Ring};
use virtio_vhost_user::{Device, Served};
use zerocopy::FromZeros;

use cache::CacheMode;
pub use direct::{Alignment, Direct};
pub use error::RequestError;
pub use file::{FileStorage, FileStorageError};
pub use memory::MemStorage;
pub use null::NullStorage;
pub use storage::Storage;
pub use wire::{
    BlockConfig, DeviceId, MAX_SEGMENT_SECTORS, MAX_SEGMENTS, RequestHeader, RequestType, SECTOR_SIZE, Segment, Status,
    Topology, feature,
};

/// A block device on a storage.
///
/// It allocates nothing for a request. Clones have the same mode of the write cache: they serve the queues of one disk.
#[derive(Clone)]
pub struct BlockDevice<S> {
    storage: S,
    /// The size of the storage. It does not change.
    size: u64,
    id: DeviceId,
    /// The features that the driver accepted.
    accepted: u64,
    cache: CacheMode,
}

impl<S: Storage> BlockDevice<S> {
    /// Creates a device on `storage`. Drivers see the name `id`.
    #[must_use]
    pub fn new(storage: S, id: DeviceId) -> Self {
        let size = storage.size();
        Self { storage, size, id, accepted: 0, cache: CacheMode::new() }
    }

    /// Sets the features that the driver accepted.
    ///
    /// With [`feature::FLUSH`], writes are stable only after a flush. Without it, and before this call, each write is
    /// stable before it completes: VIRTIO 1.4 §5.2.6.2 "Device Requirements: Device Operation". With
    /// [`feature::CONFIG_WCE`], the driver chooses.
    pub const fn accept(&mut self, features: u64) {
        self.accepted = features;
    }

    /// Returns the features that the device offers, without those of the queue: VIRTIO 1.4 §5.2.3 "Feature bits".
    #[must_use]
    pub fn features(&self) -> u64 {
        let writable = feature::CONFIG_WCE | feature::DISCARD | feature::WRITE_ZEROES;
        let access = if self.storage.read_only() { feature::RO } else { writable };
        let topology = if self.storage.physical_block_size().is_some() { feature::TOPOLOGY } else { 0 };
        feature::SEG_MAX | feature::BLK_SIZE | feature::FLUSH | access | topology
    }

    /// Returns the configuration space, for a queue of at most `queue_size` descriptors: VIRTIO 1.4 §5.2.4 "Device
    /// configuration layout".
    #[must_use]
    pub fn config(&self, queue_size: u16) -> BlockConfig {
        let (block_size, physical) = (self.storage.block_size(), self.storage.physical_block_size());
        BlockConfig {
            writeback: self.cache.is_writeback().into(),
            write_zeroes_may_unmap: self.storage.can_release().into(),
            topology: physical.map_or(Topology::new_zeroed(), |physical| Topology::new(block_size, physical)),
            ..BlockConfig::new(self.capacity(), block_size, queue_size)
        }
    }

    /// Takes over what the driver writes at `offset` of the configuration space, and returns whether that can be
    /// written: the mode of the write cache can be.
    pub fn write_config(&self, offset: usize, bytes: &[u8]) -> bool {
        let mode = offset_of!(BlockConfig, writeback).checked_sub(offset).and_then(|at| bytes.get(at));
        mode.map(|mode| self.cache.set(*mode)).is_some()
    }

    /// Returns whether a write must be stable before it is answered.
    fn writes_through(&self) -> bool {
        let chosen = self.accepted & feature::CONFIG_WCE != 0 && !self.cache.is_writeback();
        chosen || self.accepted & feature::FLUSH == 0
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
