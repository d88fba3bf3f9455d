//! A ring of either format, chosen when it is made.

use core::iter::FusedIterator;

use virtio_mem_traits::StableMem;
use virtio_ring::RingFeatures;

use crate::packed::{PackedPositions, PackedRing, PackedWalk};
use crate::split::{SplitPositions, SplitRing, SplitWalk};
use crate::{
    Armed, ChainError, ConfigError, Element, FatalError, FromConfig, Head, Positioned, QueueConfig, Ring, Walk,
};

/// A ring of the format that was negotiated.
#[derive(Debug)]
pub enum AnyRing<M> {
    /// Without RING_PACKED.
    Split(SplitRing<M>),
    /// With RING_PACKED.
    Packed(PackedRing<M>),
}

/// The positions of a ring of either format.
#[derive(Clone, Copy, Debug)]
pub enum AnyPositions {
    /// Those of a split ring.
    Split(SplitPositions),
    /// Those of a packed ring.
    Packed(PackedPositions),
}

/// Does the same with the ring and the positions of either format.
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

    #[inline(always)]
    fn walk(&self, head: Head) -> AnyWalk<'_, M> {
        match self {
            Self::Split(ring) => AnyWalk::Split(ring.walk(head)),
            Self::Packed(ring) => AnyWalk::Packed(ring.walk(head)),
        }
    }

    #[inline(always)]
    fn put_used(&self, positions: &mut AnyPositions, head: Head, written: u32) -> Result<bool, FatalError> {
        either!(self, positions, (ring, own) => ring.put_used(own, head, written))
    }

    #[inline(always)]
    fn serve<'r>(
        &'r self,
        positions: &mut AnyPositions,
        in_flight: u16,
        limit: usize,
        mut work: impl FnMut(AnyWalk<'r, M>) -> u32,
    ) -> Result<usize, FatalError> {
        match (self, positions) {
            (Self::Split(ring), AnyPositions::Split(own)) => {
                ring.serve(own, in_flight, limit, |walk| work(AnyWalk::Split(walk)))
            }
            (Self::Packed(ring), AnyPositions::Packed(own)) => {
                ring.serve(own, in_flight, limit, |walk| work(AnyWalk::Packed(walk)))
            }
            _ => Err(FatalError::ForeignPositions),
        }
    }

    #[inline]
    fn publish(&self, positions: &mut AnyPositions) -> Result<bool, FatalError> {
        either!(self, positions, (ring, own) => ring.publish(own))
    }

    fn suppress_notifications(&self, positions: &mut AnyPositions) -> Result<(), FatalError> {
        either!(self, positions, (ring, own) => ring.suppress_notifications(own))
    }

    fn enable_notifications(&self, positions: &mut AnyPositions, in_flight: u16) -> Result<Armed, FatalError> {
        either!(self, positions, (ring, own) => ring.enable_notifications(own, in_flight))
    }
}

impl<M: StableMem> Positioned for AnyRing<M> {
    fn position(&self, positions: &AnyPositions) -> u16 {
        match (self, positions) {
            (Self::Split(ring), AnyPositions::Split(own)) => ring.position(own),
            (Self::Packed(ring), AnyPositions::Packed(own)) => ring.position(own),
            _ => 0,
        }
    }

    fn positions_at(&self, position: u16) -> Option<AnyPositions> {
        match self {
            Self::Split(ring) => ring.positions_at(position).map(AnyPositions::Split),
            Self::Packed(ring) => ring.positions_at(position).map(AnyPositions::Packed),
        }
    }
}

/// A walk along a chain in a ring of either format.
#[derive(Debug)]
pub enum AnyWalk<'r, M> {
    /// In a split ring.
    Split(SplitWalk<'r, M>),
    /// In a packed ring.
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

impl<'r, M: StableMem> Walk<'r> for AnyWalk<'r, M> {
    type Mem = M;

    #[inline]
    fn mem(&self) -> &'r M {
        match self {
            Self::Split(walk) => walk.mem(),
            Self::Packed(walk) => walk.mem(),
        }
    }

    #[inline(always)]
    fn try_each<E: From<ChainError>>(self, work: impl FnMut(Element) -> Result<(), E>) -> Result<(), E> {
        match self {
            Self::Split(walk) => walk.try_each(work),
            Self::Packed(walk) => walk.try_each(work),
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
