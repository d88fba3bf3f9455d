//! What all of these devices have: what they know of their ring, what they signal with, and what they add up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use virtio_mem_traits::DriverMem;
use virtio_queue_core::{DriverNotify, Piece, QueueConfig, RingFeatures, Walk};

use crate::support::ring::{Reports, Ring, counted};
use crate::support::shape::Format;

/// Returns what a transport would say of the ring.
pub(crate) fn config(ring: &Ring) -> QueueConfig {
    let choose = |condition, feature: RingFeatures| if condition { feature.bits() } else { 0 };
    let bits = RingFeatures::VERSION_1.bits()
        | RingFeatures::INDIRECT_DESC.bits()
        | choose(ring.format == Format::Packed, RingFeatures::RING_PACKED)
        | choose(ring.shape.event_idx, RingFeatures::EVENT_IDX)
        | choose(ring.reports == Reports::Batches, RingFeatures::IN_ORDER);
    let features = RingFeatures::from_negotiated(bits).expect("these can be negotiated");
    QueueConfig::new(ring.shape.size(), features, ring.descriptor_area, ring.driver_area, ring.device_area)
}

/// A notifier that counts. One thread notifies at a time, the one that has the queue, so that no atomic addition is
/// needed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals(Arc<AtomicU64>);

impl Signals {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl DriverNotify for Signals {
    fn notify(&self) {
        self.0.store(self.count() + 1, Ordering::Relaxed);
    }
}

/// Translates all elements of a chain, and returns their sum and the length of the last one.
///
/// It is always inlined, as if the loop were written where it is used: that is where a device has it.
#[inline(always)]
pub(super) fn walk(elements: impl Walk, mem: &impl DriverMem) -> Result<(u64, u32)> {
    elements.try_fold_pieces(mem, (0, 0), add)
}

/// Adds a piece to the sum of those before it, and puts its length in the place of theirs.
#[inline(always)]
pub(super) fn add((sum, _): (u64, u32), piece: Piece<'_>) -> Result<(u64, u32)> {
    let len = u32::try_from(piece.memory.len())?;
    Ok((counted(sum, piece.memory.as_ptr().addr().get() as u64, len), len))
}
