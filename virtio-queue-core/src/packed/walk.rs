//! Walking along a list of a packed ring.

use core::iter::FusedIterator;

use virtio_mem_traits::{DeviceArray, DriverRange, StableMem};
use virtio_ring::packed::{BufferId, Descriptor, DescriptorFlags, DescriptorIndex, DescriptorTable};

use super::ring::PackedRing;
use crate::rules::{Claim, Rules};
use crate::walk::{Step, finish};
use crate::{ChainError, ChainErrorKind, Element, Ring, Walk};

/// A walk along a list in a packed ring, or along the indirect table that its only descriptor stands for.
///
/// ```text
/// as often as the list has slots, as was found when it was fetched:
///     read the descriptor in the next slot, once
///     indirect?   it must be the only one; go on with all entries of its table
///     otherwise   it is an element
/// ```
///
/// Neither in the ring nor in a table does a flag say how to go on: the list was measured when it was fetched, and a table
/// is as long as it is (PACK-IND-1). So there are no loops.
#[derive(Debug)]
pub struct PackedWalk<'r, M> {
    ring: &'r PackedRing<M>,
    /// What can be read at once of the table that it is in.
    entries: DeviceArray<'r, [u64; 2]>,
    /// Where that table is, if it is an indirect one.
    indirect: Option<DriverRange>,
    /// The descriptor to be read next; at the end of the ring, that is the first one.
    next: u16,
    /// How many descriptors are still to be read; 0 after an error.
    left: u32,
    id: BufferId,
    /// How many descriptors the list has.
    slots: u16,
    rules: Rules,
}

/// A walk that came upon a descriptor which is not plain, if it could be read at once, and is still in front of it.
type Stopped<'r, M> = (PackedWalk<'r, M>, Option<Descriptor>);

impl<'r, M: StableMem> PackedWalk<'r, M> {
    #[inline(always)]
    pub(super) fn new(ring: &'r PackedRing<M>, id: BufferId, first: u16, slots: u16) -> Self {
        let (entries, rules) = (ring.table().contiguous(), Rules::for_list(ring.limits(), slots));
        Self { ring, entries, indirect: None, next: first, left: slots.into(), id, slots, rules }
    }

    /// Returns the table that it is in.
    #[inline(always)]
    fn table(&self) -> DescriptorTable<'r, M> {
        let table = self.ring.table();
        DescriptorTable::from_parts(table.mem(), self.indirect.unwrap_or(table.range()), self.entries)
    }

    /// Calls `work` with each element until a descriptor is not plain.
    #[inline(always)]
    fn run<E>(mut self, work: &mut impl FnMut(Element) -> Result<(), E>) -> Result<Option<Stopped<'r, M>>, E> {
        let table = self.table();
        while self.left != 0 {
            let Some(descriptor) = table.get_contiguous(DescriptorIndex(self.next)) else {
                return Ok(Some((self, None)));
            };
            let Some(element) = self.accept_plain(descriptor) else { return Ok(Some((self, Some(descriptor)))) };
            work(element)?;
        }
        Ok(None)
    }

    /// Accepts the element that a descriptor stands for, if it is plain.
    #[inline(always)]
    fn accept_plain(&mut self, descriptor: Descriptor) -> Option<Element> {
        let element = self.rules.accept_plain_in_list(claim(descriptor))?;
        self.advance();
        Some(element)
    }

    /// Goes on to the descriptor after the next one. That there is none at the end of the ring is seen when it is to be read.
    #[inline(always)]
    fn advance(&mut self) {
        self.next = self.next.wrapping_add(1);
        self.left = self.left.wrapping_sub(1);
    }

    /// Goes on in the indirect table that a descriptor stands for. Its WRITE flag has no meaning (PACK-IND-4), and it is no element
    /// itself. It has to be alone in its list (PACK-SG-5).
    #[inline(always)]
    fn enter(self, descriptor: Descriptor) -> Result<Self, ChainErrorKind> {
        let limits = self.ring.limits();
        if !limits.indirect {
            return Err(ChainErrorKind::IndirectNotNegotiated);
        }
        if self.slots != 1 {
            return Err(ChainErrorKind::IndirectWithNext);
        }
        let (range, left) = limits.table(claim(descriptor))?;
        if left > MAX_ENTRIES {
            return Err(ChainErrorKind::TableLen { len: descriptor.len() });
        }
        let table = DescriptorTable::indirect(self.ring.mem(), range).map_err(ChainErrorKind::Memory)?;
        Ok(Self { entries: table.contiguous(), indirect: Some(range), next: 0, left, ..self })
    }

    /// Returns whether it is at the end of the ring, where it goes on at the beginning.
    #[inline(always)]
    fn is_at_end(&self) -> bool {
        self.indirect.is_none() && self.next == self.ring.size()
    }

    /// Takes a step from where it has stopped.
    #[inline(always)]
    fn step_on(self, descriptor: Option<Descriptor>) -> Step<Self> {
        match descriptor {
            Some(descriptor) => self.step(descriptor),
            None => self.step_anywhere(),
        }
    }

    /// Reads the next descriptor, which cannot be read at once, and takes a step.
    #[cold]
    #[inline(never)]
    fn step_anywhere(mut self) -> Step<Self> {
        if self.is_at_end() {
            self.next = 0;
        }
        match self.table().get(DescriptorIndex(self.next)) {
            Ok(descriptor) => self.step(descriptor),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Takes a step from a descriptor that is not plain. There may be nothing to be seen after it.
    #[cold]
    #[inline(never)]
    fn step(mut self, descriptor: Descriptor) -> Step<Self> {
        if descriptor.flags().contains(DescriptorFlags::INDIRECT) && self.indirect.is_none() {
            let entered = self.clone().enter(descriptor);
            return entered.map_or_else(|kind| self.fail(kind), |walk| (walk, None));
        }
        self.advance();
        match self.rules.accept(self.ring.limits(), claim(descriptor)) {
            Ok(element) => (self, element.map(Ok)),
            Err(kind) => self.fail(kind),
        }
    }

    /// Ends the walk with an error.
    fn fail(mut self, kind: ChainErrorKind) -> Step<Self> {
        self.left = 0;
        let id = self.id.0;
        (self, Some(Err(ChainError { id, kind })))
    }
}

/// The most entries that a table can have: each has an index.
const MAX_ENTRIES: u32 = 1 << 16;

#[inline(always)]
fn claim(descriptor: Descriptor) -> Claim {
    Claim { addr: descriptor.addr(), len: descriptor.len(), flags: descriptor.flags().0 }
}

impl<M: StableMem> Iterator for PackedWalk<'_, M> {
    type Item = Result<Element, ChainError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.left == 0 {
                return None;
            }
            let (walk, item) = match self.table().get_contiguous(DescriptorIndex(self.next)) {
                Some(descriptor) => match self.accept_plain(descriptor) {
                    Some(element) => return Some(Ok(element)),
                    None => self.clone().step(descriptor),
                },
                None => self.clone().step_anywhere(),
            };
            *self = walk;
            if item.is_some() {
                return item;
            }
        }
    }
}

impl<M: StableMem> FusedIterator for PackedWalk<'_, M> {}

impl<'r, M: StableMem> Walk<'r> for PackedWalk<'r, M> {
    type Mem = M;

    #[inline]
    fn mem(&self) -> &'r M {
        self.ring.mem()
    }

    #[inline(always)]
    fn try_each<E: From<ChainError>>(self, mut work: impl FnMut(Element) -> Result<(), E>) -> Result<(), E> {
        // Most chains do not leave the first loop. The second one is for a table, or for what is at the beginning of the ring.
        let Some((walk, descriptor)) = self.run(&mut work)? else { return Ok(()) };
        let walk = match descriptor {
            Some(descriptor) if walk.indirect.is_none() && descriptor.flags().contains(DescriptorFlags::INDIRECT) => {
                let id = walk.id.0;
                walk.enter(descriptor).map_err(|kind| ChainError { id, kind })?
            }
            None if walk.is_at_end() => Self { next: 0, ..walk },
            other => return finish(walk.step_on(other), &mut work),
        };
        let Some((walk, descriptor)) = walk.run(&mut work)? else { return Ok(()) };
        finish(walk.step_on(descriptor), &mut work)
    }
}

impl<M> Clone for PackedWalk<'_, M> {
    #[inline]
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}
