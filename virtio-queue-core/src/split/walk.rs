//! The walk along a chain of a split ring.

use core::iter::FusedIterator;

use virtio_mem_traits::{Access, DeviceArray, DriverMem, DriverRange, StableMem};
use virtio_ring::TableEntry;
use virtio_ring::split::{Descriptor, DescriptorFlags, DescriptorIndex, DescriptorTable};

use super::descriptors::Descriptors;
use crate::error::{ChainError, ChainErrorKind};
use crate::rules::{Claim, SplitPlain, SplitRules, Words};
use crate::walk::{Element, Piece, Walk};
use crate::walk::{Rest, Step, fold_rest};

/// A walk along a chain in a split ring.
///
/// It begins in the queue's table, and can continue in one indirect table.
///
/// ```text
/// loop:
///     read the descriptor at `next`, once
///     indirect?   continue at entry 0 of its table; it must be the last descriptor of the chain
///     otherwise   it is an element; take `next` from the descriptor, or end the chain
/// ```
///
/// Each descriptor counts towards the limit on elements, so a loop ends. Elements without bytes count as well
/// (DRV-DESC-2). A walk reads at most two descriptors more than the limit: one for a table, and one for the first
/// element above the limit (INV-2). It follows the links in any order (DRV-DESC-3, DRV-IND-5).
#[derive(Debug)]
pub struct SplitWalk<'r, M> {
    descriptors: &'r Descriptors<M>,
    /// The part of the current table that can be read at once.
    entries: DeviceArray<'r, [u64; 2]>,
    plain: SplitPlain,
    /// Whether each read of a descriptor must be reported.
    reports: bool,
    place: SplitPlace,
}

/// A place in a chain of a split ring.
#[derive(Clone, Copy, Debug)]
pub struct SplitPlace {
    /// The range of the current table, if it is an indirect one.
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

    /// Accepts the element of a descriptor, if it is plain.
    #[inline(always)]
    fn accept_plain(&mut self, plain: &SplitPlain, descriptor: Descriptor) -> Option<Element> {
        let element = claim(descriptor).element()?;
        if self.rules.is_slow() {
            return None;
        }
        if !self.rules.accept_plain(plain, descriptor.word(), &mut self.rules.access()) {
            self.rules = self.rules.uncounted(descriptor.word());
            return None;
        }
        self.next = next(descriptor);
        Some(element)
    }

    /// Takes one step, as a walk [from this place](SplitWalk::from_place) does.
    // PERF: a plain descriptor of the queue's own table updates the place without a copy (`bench instructions`,
    // payload-read-64).
    #[inline(always)]
    pub(super) fn step<M: StableMem>(&mut self, descriptors: &Descriptors<M>) -> Option<Result<Element, ChainError>> {
        if self.indirect.is_some() {
            let (place, item) = self.step_in_table(descriptors);
            *self = place;
            return item;
        }
        let descriptor = descriptors.table().get_contiguous(self.next?);
        match descriptor.and_then(|descriptor| self.accept_plain(&descriptors.limits.plain, descriptor)) {
            Some(element) => Some(Ok(element)),
            None => {
                let (place, item) = self.step_on(descriptors, descriptor);
                *self = place;
                item
            }
        }
    }

    /// Takes one step in an indirect table.
    #[inline(never)]
    fn step_in_table<M: StableMem>(self, descriptors: &Descriptors<M>) -> (Self, Option<Result<Element, ChainError>>) {
        let mut walk = SplitWalk::from_place(descriptors, self);
        let item = walk.next();
        (walk.place, item)
    }

    /// Takes one step from a descriptor that is not plain, or that cannot be read at once.
    #[cold]
    #[inline(never)]
    fn step_on<M: StableMem>(self, descriptors: &Descriptors<M>, descriptor: Option<Descriptor>) -> Step<Self> {
        let walk = SplitWalk::from_place(descriptors, self);
        let (mut walk, item) = match descriptor {
            Some(descriptor) => walk.step(descriptor),
            None => walk.step_anywhere(),
        };
        // The first step can end without an item.
        let item = item.or_else(|| walk.next());
        (walk.place, item)
    }
}

impl<'r, M: StableMem> SplitWalk<'r, M> {
    #[inline(always)]
    pub(super) fn new(descriptors: &'r Descriptors<M>, head: DescriptorIndex) -> Self {
        let (entries, plain) = (descriptors.table().contiguous(), descriptors.limits.plain);
        let reports = descriptors.mem().reports(Access::Read);
        Self { descriptors, entries, plain, reports, place: SplitPlace::new(&plain, head) }
    }

    /// Returns a walk along another chain, in a memory that wants no reports. Values that are the same for all chains
    /// are not looked up again.
    #[inline(always)]
    pub(super) fn of(&self, head: DescriptorIndex) -> Self {
        Self { reports: false, place: SplitPlace::new(&self.plain, head), ..*self }
    }

    /// Returns whether the first descriptor of a chain can be read at once.
    #[inline(always)]
    pub(super) fn has(&self, head: DescriptorIndex) -> bool {
        usize::from(head.0) < self.entries.len()
    }

    /// Returns a walk that continues at `place`. An indirect table is translated again. If that fails, each descriptor
    /// is searched for when it is read.
    #[inline(always)]
    pub(super) fn from_place(descriptors: &'r Descriptors<M>, place: SplitPlace) -> Self {
        let entries = match place.indirect {
            None => descriptors.table().contiguous(),
            Some(range) => DescriptorTable::indirect(descriptors.mem(), range)
                .map_or(DeviceArray::empty(), |table: DescriptorTable<'_, M>| table.contiguous()),
        };
        Self { entries, place, ..Self::new(descriptors, place.head) }
    }

    /// Returns the table that the walk is in.
    #[inline(always)]
    fn table(&self) -> DescriptorTable<'r, M> {
        let table = self.descriptors.table();
        DescriptorTable::from_parts(table.mem(), self.place.indirect.unwrap_or(table.range()), self.entries)
    }

    /// Folds the next descriptor if it is the last one. Other functions fold one that is not plain, and longer chains.
    ///
    /// PERF: a usual chain has one descriptor, and needs no loop (`direct-1-burst-1`, `indirect-8-burst-32`).
    #[inline(always)]
    fn fold_last<'m, P: DriverMem + ?Sized, B, E: From<ChainError>>(
        self,
        mem: &'m P,
        init: B,
        mut work: impl FnMut(B, Piece<'m>) -> Result<B, E>,
    ) -> Result<B, E> {
        let SplitPlace { indirect, next: Some(next), head, rules } = self.place else { return Ok(init) };
        let Some(words) = Descriptor::load(self.entries, next.0.into()).map(words) else {
            return fold_rest(self.at(Some(next), rules).step_anywhere(), mem, init, work).into();
        };
        if words.1 & NEXT != 0 {
            return self.at(Some(next), rules).run::<false, _, _, _>(Some(words), mem, init, work);
        }
        let (mut accepted, mut access) = (rules, rules.access());
        if accepted.accept_plain(&self.plain, words.1, &mut access) {
            if let Some(piece) = SplitRules::find(mem, words, access) {
                return work(init, piece);
            }
        }
        if indirect.is_none() && words.1 & INDIRECT != 0 {
            Self::fold_table(self.descriptors, head, rules, words, mem, init, work)
        } else {
            self.at(Some(next), rules).fold_on(words, mem, init, work)
        }
        .into()
    }

    /// Folds plain descriptors, from `seen` or else from the next one on. Other functions continue at the first one
    /// that is not plain.
    ///
    /// With `SEARCH`, memory that is not found at once is searched for.
    ///
    /// PERF: the variables of the loop have no address, and without `SEARCH` the loop calls no function that returns to
    /// it. So the variables stay in registers (`direct-8-burst-32`).
    #[inline(always)]
    fn run<'m, const SEARCH: bool, P: DriverMem + ?Sized, B, E: From<ChainError>>(
        self,
        mut seen: Option<Words>,
        mem: &'m P,
        init: B,
        mut work: impl FnMut(B, Piece<'m>) -> Result<B, E>,
    ) -> Result<B, E> {
        let Some(first) = self.place.next else { return Ok(init) };
        let (mut index, mut rules, mut state) = (usize::from(first.0), self.place.rules, init);
        let mut access = rules.access();
        loop {
            let read = || Descriptor::load(self.entries, index).map(words);
            let Some(words) = seen.take().or_else(read) else {
                return fold_rest(self.at(narrow(index), rules).step_anywhere(), mem, state, work).into();
            };
            let piece = if !rules.accept_plain(&self.plain, words.1, &mut access) {
                None
            } else if SEARCH {
                SplitRules::search(mem, words, access)
            } else {
                SplitRules::find(mem, words, access)
            };
            let Some(piece) = piece else {
                let walk = self.at(Some(first), rules.uncounted(words.1));
                return if SEARCH {
                    fold_rest(walk.step(descriptor(words)), mem, state, work)
                } else if walk.place.indirect.is_none() && words.1 & INDIRECT != 0 {
                    Self::fold_table(walk.descriptors, walk.place.head, walk.place.rules, words, mem, state, work)
                } else {
                    walk.fold_on(words, mem, state, work)
                }
                .into();
            };
            state = work(state, piece)?;
            if words.1 & NEXT == 0 {
                return Ok(state);
            }
            index = (words.1 >> 48) as usize;
        }
    }

    /// Returns the walk at another place of its table.
    #[inline(always)]
    fn at(self, next: Option<DescriptorIndex>, rules: SplitRules) -> Self {
        Self { place: SplitPlace { next, rules, ..self.place }, ..self }
    }

    /// Folds the indirect table of a descriptor, which is the only or the last descriptor of its chain.
    ///
    /// PERF: this is a usual case, so the function takes its arguments in registers (`indirect-8-burst-32`).
    #[inline(never)]
    fn fold_table<'m, P: DriverMem + ?Sized, B, E: From<ChainError>>(
        descriptors: &'r Descriptors<M>,
        head: DescriptorIndex,
        rules: SplitRules,
        words: Words,
        mem: &'m P,
        init: B,
        work: impl FnMut(B, Piece<'m>) -> Result<B, E>,
    ) -> Rest<B, E> {
        match Self::new(descriptors, head).at(None, rules).enter(descriptor(words)) {
            Ok(table) => table.run::<false, _, _, _>(None, mem, init, work).into(),
            Err(kind) => Rest::Failed(ChainError { id: head.0, kind }.into()),
        }
    }

    /// Folds the rest of a chain, from a descriptor that is not plain or not found at once.
    #[cold]
    #[inline(never)]
    fn fold_on<'m, P: DriverMem + ?Sized, B, E: From<ChainError>>(
        self,
        words: Words,
        mem: &'m P,
        init: B,
        work: impl FnMut(B, Piece<'m>) -> Result<B, E>,
    ) -> Rest<B, E> {
        self.run::<true, _, _, _>(Some(words), mem, init, work).into()
    }

    /// Returns whether no descriptor is plain, or each read of one must be reported.
    #[inline(always)]
    fn is_slow(&self) -> bool {
        self.place.rules.is_slow() || self.reports
    }

    /// Continues at the beginning of the indirect table of a descriptor, which must be the last descriptor of its
    /// chain. Direct elements can come before it (SPLIT-IND-2): the rules go on counting (HOST-31). The WRITE flag of
    /// the descriptor has no meaning (SPLIT-IND-1).
    #[inline(always)]
    fn enter(self, descriptor: Descriptor) -> Result<Self, ChainErrorKind> {
        let limits = &self.descriptors.limits;
        if !limits.indirect {
            return Err(ChainErrorKind::IndirectNotNegotiated);
        }
        if descriptor.flags().contains(DescriptorFlags::NEXT) {
            return Err(ChainErrorKind::IndirectWithNext);
        }
        let (range, _) = limits.table(claim(descriptor))?;
        let table = DescriptorTable::indirect(self.descriptors.mem(), range).map_err(ChainErrorKind::Memory)?;
        let place = SplitPlace { indirect: Some(range), next: Some(DescriptorIndex(0)), ..self.place };
        Ok(Self { entries: table.contiguous(), place, ..self })
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

    /// Takes a step from a descriptor that is not plain. The step can end without an item.
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
        match self.place.rules.accept(&self.descriptors.limits, claim(descriptor)) {
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

/// The flag NEXT in the second word of a descriptor: the descriptor is not the last of its chain.
const NEXT: u64 = (DescriptorFlags::NEXT.0 as u64) << 32;

/// The flag INDIRECT in the second word of a descriptor.
const INDIRECT: u64 = (DescriptorFlags::INDIRECT.0 as u64) << 32;

/// Returns the two words of a descriptor.
#[inline(always)]
pub(super) const fn words(descriptor: Descriptor) -> Words {
    (descriptor.addr(), descriptor.word())
}

/// Makes a descriptor from its two words.
#[inline(always)]
const fn descriptor((addr, word): Words) -> Descriptor {
    Descriptor::from_word(addr, word)
}

/// Converts a loop index back into a descriptor index.
#[inline(always)]
fn narrow(index: usize) -> Option<DescriptorIndex> {
    u16::try_from(index).ok().map(DescriptorIndex)
}

#[inline(always)]
fn claim(descriptor: Descriptor) -> Claim {
    SplitRules::claim(words(descriptor))
}

/// Returns the index of the next descriptor of a chain, if there is one.
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
        self.fold_last(mem, init, work)
    }
}

impl<M> Clone for SplitWalk<'_, M> {
    #[inline]
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}
