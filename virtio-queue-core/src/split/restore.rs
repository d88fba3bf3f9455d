//! Saving and restoring a split ring.

use core::iter;

use virtio_mem_traits::StableMem;
use virtio_ring::packed::Descriptor;
use virtio_ring::split::RingIndex;

use super::positions::SplitPositions;
use super::ring::SplitRing;
use crate::config::ConfigError;
use crate::error::{ChainError, FatalError};
use crate::head::Head;
use crate::recorded::Record;
use crate::ring::{FromConfig, Ring};
use crate::saved::Saved;
use crate::saved::{Restorable, RestoreError, SavedQueue};
use crate::walk::Element;

impl<M: StableMem> Restorable for SplitRing<M> {
    fn in_memory(&self, mem: M) -> Result<Self, ConfigError> {
        Self::from_config(&self.config, mem)
    }

    fn save(&self, positions: &SplitPositions) -> SavedQueue {
        SavedQueue::split(positions.next_available.get(), Some(positions.published.get()))
    }

    /// If the used index was not saved, it is read once from the ring's memory.
    fn restore(&self, saved: &SavedQueue) -> Result<SplitPositions, RestoreError> {
        let Saved::Split { next_available, next_used } = saved.checked()? else {
            return Err(RestoreError::Format(*saved));
        };
        let used = match next_used {
            Some(used) => RingIndex::new(used),
            None => self.used_index()?,
        };
        let (available, size) = (RingIndex::new(next_available), self.size.get());
        let lost = available.distance_from(used);
        if lost > size {
            return Err(RestoreError::Lost { available: available.get(), used: used.get(), size });
        }
        Ok(SplitPositions { next_used: used, published: used, lost, ..self.at(available) })
    }

    fn adopt(&self, positions: &mut SplitPositions, head: Head, in_flight: u16) -> Option<Head> {
        let known = head.id() <= self.size.last_slot() && head.slots() == 1;
        positions.lost = positions.lost.checked_sub(1).filter(|_| known)?;
        Some(Head::new(head.id(), positions.next_used.advanced(in_flight).get(), 1))
    }

    fn walk_stored<'r>(
        &'r self,
        head: Head,
        _stored: &'r [Descriptor],
    ) -> impl Iterator<Item = Result<Element, ChainError>> {
        self.walk(head)
    }
}

/// Stores no descriptors: the head is enough to find a chain again.
impl<M: StableMem> Record for SplitRing<M> {
    fn stored(&self, _head: Head) -> impl Iterator<Item = Result<Descriptor, FatalError>> {
        iter::empty()
    }

    fn disown(&self, positions: &mut SplitPositions, head: Head) {
        positions.lost = positions.lost.saturating_add(head.slots());
    }

    fn next_used(&self, positions: &SplitPositions) -> u16 {
        positions.next_used.get()
    }
}
