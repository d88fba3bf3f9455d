//! The walk along a stored list.

use core::slice;

use virtio_mem_traits::StableMem;
use virtio_ring::packed::{BufferId, Descriptor, DescriptorFlags};

use super::descriptors::Descriptors;
use super::walk::{PackedPlace, PackedWalk, claim};
use crate::error::{ChainError, ChainErrorKind};
use crate::walk::Element;

/// A walk along a list that was stored when it was fetched.
///
/// Used descriptors can have been written over the list in the ring since.
///
/// The rules are those of a [`PackedWalk`]. The stored list is untrusted, like the ring.
#[derive(Debug)]
pub(super) struct StoredList<'r, M> {
    descriptors: &'r Descriptors<M>,
    /// The stored descriptors that are left.
    left: slice::Iter<'r, Descriptor>,
    /// The walk along the indirect table of the list, if it has one.
    table: Option<PackedWalk<'r, M>>,
    place: PackedPlace,
}

impl<'r, M: StableMem> StoredList<'r, M> {
    pub(super) fn new(descriptors: &'r Descriptors<M>, id: BufferId, stored: &'r [Descriptor]) -> Self {
        // A list that is longer than a ring breaks the limit on elements in any case.
        let slots = u16::try_from(stored.len()).unwrap_or(u16::MAX);
        Self {
            descriptors,
            left: stored.iter(),
            table: None,
            place: PackedPlace::new(&descriptors.limits, id, 0, slots),
        }
    }

    /// Continues in the indirect table of a descriptor.
    fn enter(&mut self, descriptor: Descriptor) -> Result<(), ChainErrorKind> {
        let walk = PackedWalk::from_place(self.descriptors, self.place);
        self.table = Some(walk.enter(descriptor)?);
        Ok(())
    }

    fn accept(&mut self, descriptor: Descriptor) -> Result<Option<Element>, ChainErrorKind> {
        if descriptor.flags().contains(DescriptorFlags::INDIRECT) {
            return self.enter(descriptor).map(|()| None);
        }
        self.place.rules.accept(&self.descriptors.limits, claim(descriptor))
    }

    /// Ends the walk with an error.
    fn fail(&mut self, kind: ChainErrorKind) -> ChainError {
        self.left = [].iter();
        ChainError { id: self.place.id.0, kind }
    }
}

impl<M: StableMem> Iterator for StoredList<'_, M> {
    type Item = Result<Element, ChainError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(table) = &mut self.table {
                return table.next();
            }
            let descriptor = *self.left.next()?;
            match self.accept(descriptor) {
                Ok(None) => {}
                Ok(Some(element)) => return Some(Ok(element)),
                Err(kind) => return Some(Err(self.fail(kind))),
            }
        }
    }
}
