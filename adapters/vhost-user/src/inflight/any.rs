//! The record of a queue in either format, or none.

use std::sync::Arc;

use virtio_queue_core::{AnyRing, Head, QueueConfig, RecordedRing, Recorder, RingFeatures, SavedQueue};
use virtio_ring::packed::Descriptor;

use super::packed::PackedRecorder;
use super::split::SplitRecorder;
use super::{Inflight, InflightError, Left, Recordable};
use crate::memory::GuestMem;
use crate::not_running::NotRunning;
use crate::shm::Shm;

/// A ring whose format is chosen when it begins, as is whether what is in flight is recorded.
pub type AnyRecordedRing = RecordedRing<AnyRing<GuestMem>, AnyRecorder>;

/// Writes the record of a ring of either format, if the front end wants one.
#[derive(Clone, Debug)]
pub struct AnyRecorder(pub(super) Kind);

#[derive(Clone, Debug)]
pub(super) enum Kind {
    None,
    Split(SplitRecorder<Arc<Shm>>),
    Packed(PackedRecorder<Arc<Shm>>),
}

impl AnyRecorder {
    /// Returns `ring`, of which nothing is recorded.
    pub(crate) fn none(ring: AnyRing<GuestMem>) -> AnyRecordedRing {
        RecordedRing::new(ring, Self(Kind::None))
    }

    /// Returns the ring of the queue `index`, which `config` is of and which the front end says was at `base`, as it
    /// goes on from its record, and where it is.
    ///
    /// # Errors
    ///
    /// If the base or the record makes no sense.
    pub(crate) fn resume(
        ring: AnyRing<GuestMem>,
        config: &QueueConfig,
        record: &Inflight,
        index: usize,
        base: Option<SavedQueue>,
    ) -> Result<(AnyRecordedRing, SavedQueue), NotRunning> {
        let start = if config.features.contains(RingFeatures::RING_PACKED) { 0x8000 } else { 0 };
        let base = base.unwrap_or_else(|| SavedQueue::at(start, start, config.features));
        let (kind, saved) = match &ring {
            AnyRing::Split(ring) => {
                let (recorder, saved) = resume(ring, config, record, index, base)?;
                (Kind::Split(recorder), saved)
            }
            AnyRing::Packed(ring) => {
                let (recorder, saved) = resume(ring, config, record, index, base)?;
                (Kind::Packed(recorder), saved)
            }
        };
        Ok((RecordedRing::new(ring, Self(kind)), saved))
    }

    /// Returns how many chains are left to be fetched again, from now on.
    pub(crate) fn left(&self) -> Left {
        match &self.0 {
            Kind::Split(recorder) => recorder.left(),
            Kind::None | Kind::Packed(_) => Left::default(),
        }
    }
}

/// Does so in one format.
pub(super) fn resume<R: Recordable>(
    ring: &R,
    config: &QueueConfig,
    record: &Inflight,
    index: usize,
    base: SavedQueue,
) -> Result<(R::Recorder<Arc<Shm>>, SavedQueue), NotRunning> {
    let record = record.queue::<R>(index)?;
    // A base can leave open where a ring is. After a crash it is no more than what the front end knew last, and can be
    // a place where the ring cannot be: it matters where nothing was recorded.
    let base = match ring.restore(&base) {
        Ok(positions) => ring.save(&positions),
        Err(_) if record.is_there(ring.size())? => base,
        Err(error) => return Err(error.into()),
    };
    Ok(ring.resume(config, record, base)?)
}

impl From<InflightError> for NotRunning {
    fn from(error: InflightError) -> Self {
        Self::Broken(error.into())
    }
}

impl Recorder for AnyRecorder {
    #[inline]
    fn fetched(&mut self, head: Head, descriptors: impl Iterator<Item = Descriptor>) {
        match &mut self.0 {
            Kind::None => {}
            Kind::Split(recorder) => recorder.fetched(head, descriptors),
            Kind::Packed(recorder) => recorder.fetched(head, descriptors),
        }
    }

    fn unfetched(&mut self, head: Head) {
        match &mut self.0 {
            Kind::None => {}
            Kind::Split(recorder) => recorder.unfetched(head),
            Kind::Packed(recorder) => recorder.unfetched(head),
        }
    }

    #[inline]
    fn completed(&mut self, head: Head) {
        match &mut self.0 {
            Kind::None => {}
            Kind::Split(recorder) => recorder.completed(head),
            Kind::Packed(recorder) => recorder.completed(head),
        }
    }

    #[inline]
    fn publishing(&mut self, next_used: u16) {
        match &mut self.0 {
            Kind::None => {}
            Kind::Split(recorder) => recorder.publishing(next_used),
            Kind::Packed(recorder) => recorder.publishing(next_used),
        }
    }

    #[inline]
    fn published(&mut self, next_used: u16) {
        match &mut self.0 {
            Kind::None => {}
            Kind::Split(recorder) => recorder.published(next_used),
            Kind::Packed(recorder) => recorder.published(next_used),
        }
    }

    /// Those of a packed ring were put back when it began.
    #[inline]
    fn fetch_again(&mut self) -> Option<Head> {
        match &mut self.0 {
            Kind::Split(recorder) => recorder.fetch_again(),
            Kind::None | Kind::Packed(_) => None,
        }
    }

    fn unfetch_again(&mut self, head: Head) -> bool {
        match &mut self.0 {
            Kind::Split(recorder) => recorder.unfetch_again(head),
            Kind::None | Kind::Packed(_) => false,
        }
    }

    #[inline]
    fn left_to_fetch_again(&self) -> u16 {
        match &self.0 {
            Kind::Split(recorder) => recorder.left_to_fetch_again(),
            Kind::None | Kind::Packed(_) => 0,
        }
    }
}
