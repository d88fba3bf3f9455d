//! Walking along a chain of a split ring.

use core::iter::FusedIterator;

use virtio_mem_traits::{Access, DeviceArray, DriverMem, DriverRange, StableMem};
use virtio_ring::TableEntry;
use virtio_ring::split::{Descriptor, DescriptorFlags, DescriptorIndex, DescriptorTable};

use super::ring::SplitRing;
use crate::rules::{Claim, SplitPlain, SplitRules};
use crate::walk::{Rest, Step, fold_rest};
use crate::{ChainError, ChainErrorKind, Element, Piece, Ring, Walk};

/// A walk along a chain in a split ring: first in the queue's table, then perhaps in an indirect one.
///
/// ```text
/// loop:
///     read the descriptor at `next`, once
///     indirect?   go on at entry 0 of its table, which must be the last thing in the chain
///     otherwise   it is an element; `next` is where it says, or nowhere
/// ```
///
/// Each descriptor takes one from the number of elements that are left, so that a loop ends; elements without bytes
/// take one as well (DRV-DESC-2).
#[derive(Debug)]
pub struct SplitWalk<'r, M> {
    ring: &'r SplitRing<M>,
    /// What can be read at once of the table that it is in.
    entries: DeviceArray<'r, [u64; 2]>,
    plain: SplitPlain,
    /// Whether each descriptor that is read has to be reported.
    reports: bool,
    place: SplitPlace,
}

/// A place in a chain of a split ring.
#[derive(Clone, Copy, Debug)]
pub struct SplitPlace {
    /// Where the table is, if it is an indirect one.
    indirect: Option<DriverRange>,
    /// The descriptor to be read next, or `None` at the end and after an error.
    next: Option<DescriptorIndex>,
    head: DescriptorIndex,
    rules: SplitRules,
}

impl SplitPlace {
    #[inline(always)]
    pub(super) const fn new(plain: &SplitPlain, head: DescriptorIndex) -> Self {
        Self { indirect: None, next: Some(head), head, rules: SplitRules::new(plain) }
    }

    /// Accepts the element that a descriptor stands for, if it is plain.
    #[inline(always)]
    fn accept_plain(&mut self, plain: &SplitPlain, descriptor: Descriptor) -> Option<Element> {
        let element = claim(descriptor).element()?;
        if self.rules.is_slow() {
            return None;
        }
        if !self.rules.accept_plain(plain, descriptor.word()) {
            self.rules = self.rules.uncounted(descriptor.word());
            return None;
        }
        self.next = next(descriptor);
        Some(element)
    }

    /// Takes one step, as the [walk from here](SplitWalk::from_place) does.
    // PERF: a plain descriptor of the queue's own table changes the place where it lies (`bench instructions`,
    // payload-read-64).
    #[inline(always)]
    pub(super) fn step<M: StableMem>(&mut self, ring: &SplitRing<M>) -> Option<Result<Element, ChainError>> {
        if self.indirect.is_some() {
            return self.step_in_table(ring);
        }
        let descriptor = ring.table().get_contiguous(self.next?);
        match descriptor.and_then(|descriptor| self.accept_plain(&ring.limits().plain, descriptor)) {
            Some(element) => Some(Ok(element)),
            None => self.step_on(ring, descriptor),
        }
    }

    /// Takes one step in an indirect table.
    #[inline(never)]
    fn step_in_table<M: StableMem>(&mut self, ring: &SplitRing<M>) -> Option<Result<Element, ChainError>> {
        let mut walk = SplitWalk::from_place(ring, *self);
        let item = walk.next();
        *self = walk.place;
        item
    }

    /// Takes one step from a descriptor that is not plain, or cannot be read at once.
    #[cold]
    fn step_on<M: StableMem>(
        &mut self,
        ring: &SplitRing<M>,
        descriptor: Option<Descriptor>,
    ) -> Option<Result<Element, ChainError>> {
        let walk = SplitWalk::from_place(ring, *self);
        let (mut walk, item) = match descriptor {
            Some(descriptor) => walk.step(descriptor),
            None => walk.step_anywhere(),
        };
        // There may be nothing to be seen after the first step.
        let item = item.or_else(|| walk.next());
        *self = walk.place;
        item
    }
}

impl<'r, M: StableMem> SplitWalk<'r, M> {
    #[inline(always)]
    pub(super) fn new(ring: &'r SplitRing<M>, head: DescriptorIndex) -> Self {
        let (entries, plain) = (ring.table().contiguous(), ring.limits().plain);
        let reports = ring.mem().reports(Access::Read);
        Self { ring, entries, plain, reports, place: SplitPlace::new(&plain, head) }
    }

    /// Returns a walk along another chain. What is the same for all chains is not looked up again.
    #[inline(always)]
    pub(super) fn of(&self, head: DescriptorIndex) -> Self {
        Self { place: SplitPlace::new(&self.plain, head), ..*self }
    }

    /// Returns a walk that goes on from `place`. An indirect table is translated anew: what cannot be read at once is
    /// looked for when it is to be read.
    #[inline(always)]
    pub(super) fn from_place(ring: &'r SplitRing<M>, place: SplitPlace) -> Self {
        let entries = match place.indirect {
            None => ring.table().contiguous(),
            Some(range) => DescriptorTable::indirect(ring.mem(), range)
                .map_or(DeviceArray::empty(), |table: DescriptorTable<'_, M>| table.contiguous()),
        };
        Self { entries, place, ..Self::new(ring, place.head) }
    }

    /// Returns the table that it is in.
    #[inline(always)]
    fn table(&self) -> DescriptorTable<'r, M> {
        let table = self.ring.table();
        DescriptorTable::from_parts(table.mem(), self.place.indirect.unwrap_or(table.range()), self.entries)
    }

    /// Folds what is plain, up to the first descriptor that is not, or the end.
    ///
    /// `refused` goes on in front of a descriptor that is not plain.
    ///
    /// PERF: what changes from one descriptor to the next has no address, so that it stays in registers
    /// (`direct-8-burst-32`).
    #[inline(always)]
    fn run<'m, P: DriverMem + ?Sized, B, E: From<ChainError>, F: FnMut(B, Piece<'m>) -> Result<B, E>>(
        self,
        mem: &'m P,
        init: B,
        mut work: F,
        refused: impl FnOnce(Self, Descriptor, B, F) -> Rest<B, E>,
    ) -> Result<B, E> {
        let Some(first) = self.place.next else { return Ok(init) };
        let (mut index, mut rules, mut state) = (usize::from(first.0), self.place.rules, init);
        loop {
            let at = |next, rules| Self { place: SplitPlace { next, rules, ..self.place }, ..self };
            let Some(descriptor) = Descriptor::load(self.entries, index) else {
                return fold_rest(at(narrow(index), rules).step_anywhere(), mem, state, work).into();
            };
            if !rules.accept_plain(&self.plain, descriptor.word()) {
                let walk = at(narrow(index), rules.uncounted(descriptor.word()));
                return refused(walk, descriptor, state, work).into();
            }
            let Some(piece) = SplitRules::translate_plain(mem, descriptor.addr(), descriptor.word()) else {
                return fold_rest(at(next(descriptor), rules).step_behind(descriptor), mem, state, work).into();
            };
            state = work(state, piece)?;
            if !descriptor.flags().contains(DescriptorFlags::NEXT) {
                return Ok(state);
            }
            index = (descriptor.word() >> 48) as usize;
        }
    }

    /// Folds the indirect table that a descriptor stands for.
    #[inline(never)]
    fn fold_table<'m, P: DriverMem + ?Sized, B, E: From<ChainError>>(
        self,
        descriptor: Descriptor,
        mem: &'m P,
        init: B,
        work: impl FnMut(B, Piece<'m>) -> Result<B, E>,
    ) -> Rest<B, E> {
        let id = self.id();
        match self.enter(descriptor) {
            Ok(walk) => walk
                .run(mem, init, work, |walk, descriptor, state, work| {
                    fold_rest(walk.step(descriptor), mem, state, work)
                })
                .into(),
            Err(kind) => Rest::Failed(ChainError { id, kind }.into()),
        }
    }

    /// Returns whether a descriptor stands for a table that the walk can go on in.
    #[inline(always)]
    fn is_table(&self, descriptor: Descriptor) -> bool {
        self.place.indirect.is_none() && descriptor.flags().contains(DescriptorFlags::INDIRECT)
    }

    /// Returns whether no descriptor is plain, or each one that is read has to be reported.
    #[inline(always)]
    fn is_slow(&self) -> bool {
        self.place.rules.is_slow() || self.reports
    }

    /// Goes on at the beginning of the indirect table that a descriptor stands for, which must be the last thing in its
    /// chain.
    #[inline(always)]
    fn enter(self, descriptor: Descriptor) -> Result<Self, ChainErrorKind> {
        let limits = self.ring.limits();
        if !limits.indirect {
            return Err(ChainErrorKind::IndirectNotNegotiated);
        }
        if descriptor.flags().contains(DescriptorFlags::NEXT) {
            return Err(ChainErrorKind::IndirectWithNext);
        }
        let (range, _) = limits.table(claim(descriptor))?;
        let table = DescriptorTable::indirect(self.ring.mem(), range).map_err(ChainErrorKind::Memory)?;
        let place = SplitPlace { indirect: Some(range), next: Some(DescriptorIndex(0)), ..self.place };
        Ok(Self { entries: table.contiguous(), place, ..self })
    }

    /// Takes a step that was taken, except that nobody looked where the element is.
    #[cold]
    #[inline(never)]
    fn step_behind(self, descriptor: Descriptor) -> Step<Self> {
        match claim(descriptor).element() {
            Some(element) => (self, Some(Ok(element))),
            None => self.fail(ChainErrorKind::RangeOverflow { addr: descriptor.addr(), len: descriptor.len() }),
        }
    }

    /// Reads the next descriptor, which cannot be read at once, and takes a step.
    #[cold]
    #[inline(never)]
    fn step_anywhere(self) -> Step<Self> {
        let Some(index) = self.place.next else { return (self, None) };
        match self.table().get(index) {
            Ok(descriptor) => self.step(descriptor),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Takes a step from a descriptor that is not plain. There may be nothing to be seen after it.
    #[cold]
    #[inline(never)]
    fn step(mut self, descriptor: Descriptor) -> Step<Self> {
        if descriptor.flags().contains(DescriptorFlags::INDIRECT) {
            let entered = match self.place.indirect {
                Some(_) => Err(ChainErrorKind::NestedIndirect),
                None => self.clone().enter(descriptor),
            };
            return entered.map_or_else(|kind| self.fail(kind), |walk| (walk, None));
        }
        self.place.next = next(descriptor);
        match self.place.rules.accept(self.ring.limits(), claim(descriptor)) {
            Ok(element) => (self, element.map(Ok)),
            Err(kind) => self.fail(kind),
        }
    }

    /// Ends the walk with an error.
    fn fail(mut self, kind: ChainErrorKind) -> Step<Self> {
        self.place.next = None;
        let id = self.id();
        (self, Some(Err(ChainError { id, kind })))
    }
}

/// Returns the index that was widened, so that it need not be where it is used.
#[inline(always)]
fn narrow(index: usize) -> Option<DescriptorIndex> {
    u16::try_from(index).ok().map(DescriptorIndex)
}

#[inline(always)]
fn claim(descriptor: Descriptor) -> Claim {
    SplitRules::claim(descriptor.addr(), descriptor.word())
}

/// Returns where a chain goes on after a descriptor, if it does.
#[inline(always)]
fn next(descriptor: Descriptor) -> Option<DescriptorIndex> {
    descriptor.flags().contains(DescriptorFlags::NEXT).then(|| descriptor.next())
}

impl<M: StableMem> Iterator for SplitWalk<'_, M> {
    type Item = Result<Element, ChainError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (walk, item) = match self.table().get_contiguous(self.place.next?) {
                Some(descriptor) => match self.place.accept_plain(&self.plain, descriptor) {
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

impl<M: StableMem> FusedIterator for SplitWalk<'_, M> {}

impl<M: StableMem> Walk for SplitWalk<'_, M> {
    #[inline(always)]
    fn id(&self) -> u16 {
        self.place.head.0
    }

    #[inline(always)]
    fn try_fold_pieces<'m, P: DriverMem + ?Sized, B, E: From<ChainError>>(
        self,
        mem: &'m P,
        init: B,
        work: impl FnMut(B, Piece<'m>) -> Result<B, E>,
    ) -> Result<B, E> {
        if self.is_slow() {
            return fold_rest((self, None), mem, init, work).into();
        }
        self.run(mem, init, work, |walk, descriptor, state, work| {
            if walk.is_table(descriptor) {
                walk.fold_table(descriptor, mem, state, work)
            } else {
                fold_rest(walk.step(descriptor), mem, state, work)
            }
        })
    }
}

impl<M> Clone for SplitWalk<'_, M> {
    #[inline]
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}
