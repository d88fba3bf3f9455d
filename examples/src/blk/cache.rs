//! The mode of the write cache.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// Whether writes wait for a flush, if the driver chooses that: VIRTIO 1.4 §5.2.4 "Device configuration layout".
///
/// Clones are handles on the same mode. So the devices of all queues of a disk have the same one.
#[derive(Clone, Debug)]
pub(super) struct CacheMode(Arc<AtomicBool>);

impl CacheMode {
    /// A driver that chooses nothing flushes.
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    /// Returns whether a write is stable only after a flush.
    pub(super) fn is_writeback(&self) -> bool {
        // Relaxed: nothing is handed over with it. The answer to the front end comes after the store.
        self.0.load(Ordering::Relaxed)
    }

    /// Takes over the field of the configuration space. Every value but 0 is a write-back cache.
    pub(super) fn set(&self, field: u8) {
        self.0.store(field != 0, Ordering::Relaxed);
    }
}
