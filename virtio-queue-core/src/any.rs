//! Rings of either format, chosen when the ring is made.

use core::iter::FusedIterator;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, StableMem};
use virtio_ring::RingFeatures;
use virtio_ring::packed::Descriptor;

use crate::config::{ConfigError, QueueConfig};
use crate::error::{ChainError, FatalError};
use crate::head::Head;
use crate::notify::Armed;
use crate::packed::{PackedPlace, PackedPositions, PackedRing, PackedWalk};
use crate::recorded::Record;
use crate::ring::{FromConfig, Ring, ServeChain};
use crate::saved::{Restorable, RestoreError, SavedQueue};
use crate::split::{SplitPlace, SplitPositions, SplitRing, SplitWalk};
use crate::walk::{Element, Piece, Walk};

/// A ring of the format that was negotiated.
///
/// ```
/// use virtio_mem_traits::HeapMem;
/// use virtio_queue_core::{AnyRing, DriverAddr, FromConfig, QueueConfig, RingFeatures};
///
/// let mem = HeapMem::new(DriverAddr(0), 0x1_0000)?;
/// let features = RingFeatures::from_negotiated(1 << 32 | 1 << 34)?;
/// let config = QueueConfig::new(100, features, DriverAddr(0x1000), DriverAddr(0x2000), DriverAddr(0x2004));
/// assert!(matches!(AnyRing::from_config(&config, &mem)?, AnyRing::Packed(_)));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum AnyRing<M> {
    /// A split ring: RING_PACKED was not negotiated.
    Split(SplitRing<M>),
    /// A packed ring: RING_PACKED was negotiated.
    Packed(PackedRing<M>),
}

/// The positions of a ring of either format.
#[derive(Clone, Copy, Debug)]
pub enum AnyPositions {
    /// The positions of a split ring.
    Split(SplitPositions),
    /// The positions of a packed ring.
    Packed(PackedPositions),
}

/// Evaluates one expression with the ring and the positions of the format that both have.
macro_rules! either {
    ($self:ident, $positions:ident, ($ring:ident, $own:ident) => $result:expr) => {
        match ($self, $positions) {
            (AnyRing::Split($ring), AnyPositions::Split($own)) => $result,
            (AnyRing::Packed($ring), AnyPositions::Packed($own)) => $result,
            _ => Err(FatalError::ForeignPositions),
        }
    };
}

impl<M: StableMem> FromConfig for AnyRing<M> {
    fn from_config(config: &QueueConfig, mem: M) -> Result<Self, ConfigError> {
        if config.features.contains(RingFeatures::RING_PACKED) {
            PackedRing::from_config(config, mem).map(Self::Packed)
        } else {
            SplitRing::from_config(config, mem).map(Self::Split)
        }
    }
}

impl<M: StableMem> Ring for AnyRing<M> {
    type Mem = M;
    type Positions = AnyPositions;
    type Walk<'r>
        = AnyWalk<'r, M>
    where
        M: 'r;
    type Place = AnyPlace;

    #[inline]
    fn mem(&self) -> &M {
        match self {
            Self::Split(ring) => ring.mem(),
            Self::Packed(ring) => ring.mem(),
        }
    }

    #[inline]
    fn size(&self) -> u16 {
        match self {
            Self::Split(ring) => ring.size(),
            Self::Packed(ring) => ring.size(),
        }
    }

    fn activate(&self) -> Result<AnyPositions, FatalError> {
        match self {
            Self::Split(ring) => ring.activate().map(AnyPositions::Split),
            Self::Packed(ring) => ring.activate().map(AnyPositions::Packed),
        }
    }

    #[inline(always)]
    fn fetch(&self, positions: &mut AnyPositions, in_flight: u16) -> Result<Option<Head>, FatalError> {
        either!(self, positions, (ring, own) => ring.fetch(own, in_flight))
    }

    fn unfetch(&self, positions: &mut AnyPositions, head: Head) -> Result<bool, FatalError> {
        either!(self, positions, (ring, own) => ring.unfetch(own, head))
    }

    #[inline(always)]
    fn walk(&self, head: Head) -> AnyWalk<'_, M> {
        match self {
            Self::Split(ring) => AnyWalk::Split(ring.walk(head)),
            Self::Packed(ring) => AnyWalk::Packed(ring.walk(head)),
        }
    }

    #[inline(always)]
    fn start(&self, head: Head) -> AnyPlace {
        match self {
            Self::Split(ring) => AnyPlace::Split(ring.start(head)),
            Self::Packed(ring) => AnyPlace::Packed(ring.start(head)),
        }
    }

    #[inline(always)]
    fn next_element(&self, place: &mut AnyPlace) -> Option<Result<Element, ChainError>> {
        match (self, place) {
            (Self::Split(ring), AnyPlace::Split(place)) => ring.next_element(place),
            (Self::Packed(ring), AnyPlace::Packed(place)) => ring.next_element(place),
            // A place in a ring of the other format counts as the end of the chain.
            _ => None,
        }
    }

    #[inline(always)]
    fn complete(&self, positions: &mut AnyPositions, head: Head, written: u32) -> Result<bool, FatalError> {
        either!(self, positions, (ring, own) => ring.complete(own, head, written))
    }

    #[inline(always)]
    fn serve(
        &self,
        positions: &mut AnyPositions,
        in_flight: u16,
        limit: usize,
        work: impl ServeChain,
    ) -> Result<usize, FatalError> {
        either!(self, positions, (ring, own) => ring.serve(own, in_flight, limit, work))
    }

    #[inline(always)]
    fn serve_one(
        &self,
        positions: &mut AnyPositions,
        in_flight: u16,
        work: impl ServeChain,
    ) -> Result<Option<bool>, FatalError> {
        either!(self, positions, (ring, own) => ring.serve_one(own, in_flight, work))
    }

    #[inline(always)]
    fn gather<'m, P: DriverMem + ?Sized>(
        &self,
        positions: &mut AnyPositions,
        in_flight: u16,
        limit: usize,
        mem: &'m P,
        access: Access,
        take: impl FnMut(Head, DriverAddr, DeviceRange<'m>),
    ) -> Result<u16, FatalError> {
        either!(self, positions, (ring, own) => ring.gather(own, in_flight, limit, mem, access, take))
    }

    #[inline(always)]
    fn complete_all(
        &self,
        positions: &mut AnyPositions,
        heads: impl Iterator<Item = (Head, u32)>,
        refuse: impl FnMut(Head),
    ) -> Result<(), FatalError> {
        either!(self, positions, (ring, own) => ring.complete_all(own, heads, refuse))
    }

    #[inline(always)]
    fn publish(&self, positions: &mut AnyPositions) -> Result<bool, FatalError> {
        either!(self, positions, (ring, own) => ring.publish(own))
    }

    fn suppress_notifications(&self, positions: &mut AnyPositions) -> Result<(), FatalError> {
        either!(self, positions, (ring, own) => ring.suppress_notifications(own))
    }

    fn enable_notifications(&self, positions: &mut AnyPositions) -> Result<Armed, FatalError> {
        either!(self, positions, (ring, own) => ring.enable_notifications(own))
    }

    fn enable_notifications_of_more(&self, positions: &mut AnyPositions, unfetched: u16) -> Result<Armed, FatalError> {
        either!(self, positions, (ring, own) => ring.enable_notifications_of_more(own, unfetched))
    }
}

impl<M: StableMem> Restorable for AnyRing<M> {
    fn in_memory(&self, mem: M) -> Result<Self, ConfigError> {
        match self {
            Self::Split(ring) => ring.in_memory(mem).map(Self::Split),
            Self::Packed(ring) => ring.in_memory(mem).map(Self::Packed),
        }
    }

    fn save(&self, positions: &AnyPositions) -> SavedQueue {
        match (self, positions) {
            (Self::Split(ring), AnyPositions::Split(own)) => ring.save(own),
            (Self::Packed(ring), AnyPositions::Packed(own)) => ring.save(own),
            // This cannot happen: a queue always has the positions that its own ring made.
            (Self::Split(_), _) => SavedQueue::split(0, None),
            (Self::Packed(_), _) => SavedQueue::packed(0, 0),
        }
    }

    fn restore(&self, saved: &SavedQueue) -> Result<AnyPositions, RestoreError> {
        match self {
            Self::Split(ring) => ring.restore(saved).map(AnyPositions::Split),
            Self::Packed(ring) => ring.restore(saved).map(AnyPositions::Packed),
        }
    }

    fn adopt(&self, positions: &mut AnyPositions, head: Head, in_flight: u16) -> Option<Head> {
        match (self, positions) {
            (Self::Split(ring), AnyPositions::Split(own)) => ring.adopt(own, head, in_flight),
            (Self::Packed(ring), AnyPositions::Packed(own)) => ring.adopt(own, head, in_flight),
            _ => None,
        }
    }

    fn walk_stored<'r>(
        &'r self,
        head: Head,
        stored: &'r [Descriptor],
    ) -> impl Iterator<Item = Result<Element, ChainError>> {
        let (split, packed) = match self {
            Self::Split(ring) => (Some(ring.walk_stored(head, stored)), None),
            Self::Packed(ring) => (None, Some(ring.walk_stored(head, stored))),
        };
        split.into_iter().flatten().chain(packed.into_iter().flatten())
    }
}

impl<M: StableMem> Record for AnyRing<M> {
    fn stored(&self, head: Head) -> impl Iterator<Item = Result<Descriptor, FatalError>> {
        let packed = match self {
            Self::Split(_) => None,
            Self::Packed(ring) => Some(ring.stored(head)),
        };
        packed.into_iter().flatten()
    }

    fn disown(&self, positions: &mut AnyPositions, head: Head) {
        match (self, positions) {
            (Self::Split(ring), AnyPositions::Split(own)) => ring.disown(own, head),
            (Self::Packed(ring), AnyPositions::Packed(own)) => ring.disown(own, head),
            _ => {}
        }
    }

    fn next_used(&self, positions: &AnyPositions) -> u16 {
        match (self, positions) {
            (Self::Split(ring), AnyPositions::Split(own)) => ring.next_used(own),
            (Self::Packed(ring), AnyPositions::Packed(own)) => ring.next_used(own),
            _ => 0,
        }
    }
}

/// A place in a chain of a ring of either format.
#[derive(Clone, Copy, Debug)]
pub enum AnyPlace {
    /// A place in a chain of a split ring.
    Split(SplitPlace),
    /// A place in a list of a packed ring.
    Packed(PackedPlace),
}

/// A walk along a chain in a ring of either format.
#[derive(Debug)]
pub enum AnyWalk<'r, M> {
    /// A walk along a chain of a split ring.
    Split(SplitWalk<'r, M>),
    /// A walk along a list of a packed ring.
    Packed(PackedWalk<'r, M>),
}

impl<M: StableMem> Iterator for AnyWalk<'_, M> {
    type Item = Result<Element, ChainError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Split(walk) => walk.next(),
            Self::Packed(walk) => walk.next(),
        }
    }
}

impl<M: StableMem> FusedIterator for AnyWalk<'_, M> {}

impl<M: StableMem> Walk for AnyWalk<'_, M> {
    #[inline(always)]
    fn id(&self) -> u16 {
        match self {
            Self::Split(walk) => walk.id(),
            Self::Packed(walk) => walk.id(),
        }
    }

    #[inline(always)]
    fn try_fold_pieces<'m, P: DriverMem + ?Sized, B, E: From<ChainError>>(
        self,
        mem: &'m P,
        init: B,
        work: impl FnMut(B, Piece<'m>) -> Result<B, E>,
    ) -> Result<B, E> {
        match self {
            Self::Split(walk) => walk.try_fold_pieces(mem, init, work),
            Self::Packed(walk) => walk.try_fold_pieces(mem, init, work),
        }
    }
}

impl<M> Clone for AnyWalk<'_, M> {
    #[inline]
    fn clone(&self) -> Self {
        match self {
            Self::Split(walk) => Self::Split(walk.clone()),
            Self::Packed(walk) => Self::Packed(walk.clone()),
        }
    }
}
