//! The walk along a list of a packed ring.

use core::iter::FusedIterator;

use virtio_mem_traits::{Access, DeviceArray, DriverMem, DriverRange, StableMem};
use virtio_ring::TableEntry;
use virtio_ring::packed::{BufferId, Descriptor, DescriptorFlags, DescriptorIndex, DescriptorTable};

use super::descriptors::Descriptors;
use crate::error::{ChainError, ChainErrorKind};
use crate::rules::{Claim, PackedLimits, PackedPlain, PackedRules, Words};
use crate::walk::{Element, Piece, Walk};
use crate::walk::{Rest, Step, fold_rest};

/// A walk along a list in a packed ring, or along the indirect table of its only descriptor.
///
/// ```text
/// for each slot of the list, whose number was found when it was fetched:
///     read the descriptor in the next slot, once
///     indirect?   it must be the only one; continue with all entries of its table
///     otherwise   it is an element
/// ```
///
/// The elements come in the order of the list (PACK-SG-1). The flag NEXT is ignored. The length of the list was found
/// when it was fetched, and all entries of a table are read (PACK-IND-1, DRV-PIND-2). So there are no loops. A walk
/// reads at most one descriptor more than the limit: that of a table, or the first element above the limit (INV-2).
#[derive(Debug)]
pub struct PackedWalk<'r, M> {
    descriptors: &'r Descriptors<M>,
    /// The descriptors that are left and can be read at once, from the next one on.
    list: DeviceArray<'r, [u64; 2]>,
    plain: PackedPlain,
    /// Whether each read of a descriptor must be reported.
    reports: bool,
    place: PackedPlace,
}

/// A place in a list of a packed ring.
#[derive(Clone, Copy, Debug)]
pub struct PackedPlace {
    /// The range of the current table, if it is an indirect one.
    indirect: Option<DriverRange>,
    /// The descriptor to be read next. At the end of the ring, this is the ring's size, and the first descriptor is
    /// next.
    next: u16,
    /// The number of descriptors that are left. It is 0 after an error.
    left: u32,
    pub(super) id: BufferId,
    /// The number of descriptors of the list.
    slots: u16,
    pub(super) rules: PackedRules,
}

impl PackedPlace {
    #[inline(always)]
    pub(super) const fn new(limits: &PackedLimits, id: BufferId, first: u16, slots: u16) -> Self {
        Self {
            indirect: None,
            next: first,
            left: slots as u32,
            id,
            slots,
            rules: PackedRules::for_list(&limits.plain, limits.is_too_long(slots)),
        }
    }

    /// Returns the place in front of a list, for [`step`](Self::step), which finds out whether the list is too long.
    #[inline(always)]
    pub(super) const fn before(plain: &PackedPlain, id: BufferId, first: u16, slots: u16) -> Self {
        Self { indirect: None, next: first, left: slots as u32, id, slots, rules: PackedRules::new(plain) }
    }

    /// Accepts the element of a descriptor, if it is plain.
    #[inline(always)]
    fn accept_plain(&mut self, plain: &PackedPlain, descriptor: Descriptor) -> Option<Element> {
        let element = claim(descriptor).element()?;
        if self.rules.is_slow() {
            return None;
        }
        if !self.rules.accept_plain_in_list(plain, descriptor.word(), &mut self.rules.access()) {
            self.rules = self.rules.uncounted_in_list(descriptor.word());
            return None;
        }
        *self = self.after(1);
        Some(element)
    }

    /// Returns the place `count` descriptors further on. At least `count` descriptors must be left. The end of the ring
    /// is handled when the next descriptor is read.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "no list has more than 2^16 descriptors")]
    const fn after(self, count: usize) -> Self {
        Self { next: self.next.wrapping_add(count as u16), left: self.left.wrapping_sub(count as u32), ..self }
    }

    /// Takes one step, as a walk [from this place](PackedWalk::from_place) does.
    // PERF: a plain descriptor of the queue's own table updates the place without a copy (`bench instructions`,
    // payload-read-64).
    #[inline(always)]
    pub(super) fn step<M: StableMem>(&mut self, descriptors: &Descriptors<M>) -> Option<Result<Element, ChainError>> {
        // PERF: one test finds both the end and a list that is too long (`payload-read-64`).
        if descriptors.limits.is_none_or_too_many(self.left) {
            if self.left == 0 {
                return None;
            }
            let (place, item) = self.step_in_long_list(descriptors);
            *self = place;
            return item;
        }
        if self.indirect.is_some() {
            let (place, item) = self.step_in_table(descriptors);
            *self = place;
            return item;
        }
        let descriptor = descriptors.table().get_contiguous(DescriptorIndex(self.next));
        match descriptor.and_then(|descriptor| self.accept_plain(&descriptors.limits.plain, descriptor)) {
            Some(element) => Some(Ok(element)),
            None => {
                let (place, item) = self.step_on(descriptors, descriptor);
                *self = place;
                item
            }
        }
    }

    /// Takes one step in a list that is too long. None of its elements is plain.
    #[cold]
    #[inline(never)]
    fn step_in_long_list<M: StableMem>(self, descriptors: &Descriptors<M>) -> Step<Self> {
        let mut walk = PackedWalk::from_place(descriptors, Self { rules: self.rules.slow(), ..self });
        let item = walk.next();
        (walk.place, item)
    }

    /// Takes one step in an indirect table.
    #[inline(never)]
    fn step_in_table<M: StableMem>(self, descriptors: &Descriptors<M>) -> (Self, Option<Result<Element, ChainError>>) {
        let mut walk = PackedWalk::from_place(descriptors, self);
        let item = walk.next();
        (walk.place, item)
    }

    /// Takes one step from a descriptor that is not plain, or that cannot be read at once.
    #[cold]
    #[inline(never)]
    fn step_on<M: StableMem>(self, descriptors: &Descriptors<M>, descriptor: Option<Descriptor>) -> Step<Self> {
        let walk = PackedWalk::from_place(descriptors, self);
        let (mut walk, item) = match descriptor {
            Some(descriptor) => walk.step(descriptor),
            None => walk.step_anywhere(),
        };
        // The first step can end without an item.
        let item = item.or_else(|| walk.next());
        (walk.place, item)
    }
}

impl<'r, M: StableMem> PackedWalk<'r, M> {
    #[inline(always)]
    pub(super) fn new(descriptors: &'r Descriptors<M>, id: BufferId, first: u16, slots: u16) -> Self {
        let list = descriptors.table().contiguous().after(first.into()).prefix(slots.into());
        let (plain, reports) = (descriptors.limits.plain, descriptors.mem().reports(Access::Read));
        Self { descriptors, list, plain, reports, place: PackedPlace::new(&descriptors.limits, id, first, slots) }
    }

    /// Returns a walk along another list, in a memory that wants no reports. The list must not be too long, and must be
    /// readable at once: the walk does not know where in the ring it is. Values that are the same for all lists are not
    /// looked up again.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "a ring has at most 2^15 slots")]
    pub(super) fn of(&self, id: BufferId, list: DeviceArray<'r, [u64; 2]>) -> Self {
        let (left, rules) = (list.len() as u32, PackedRules::new(&self.plain));
        let place = PackedPlace { indirect: None, next: 0, left, id, slots: left as u16, rules };
        Self { list, reports: false, place, ..*self }
    }

    /// Returns a walk that continues at `place`. An indirect table is translated again. If that fails, each descriptor
    /// is searched for when it is read.
    #[inline(always)]
    pub(super) fn from_place(descriptors: &'r Descriptors<M>, place: PackedPlace) -> Self {
        let entries = match place.indirect {
            None => descriptors.table().contiguous(),
            Some(range) => DescriptorTable::indirect(descriptors.mem(), range)
                .map_or(DeviceArray::empty(), |table: DescriptorTable<'_, M>| table.contiguous()),
        };
        let list = entries.after(place.next.into()).prefix(place.left as usize);
        Self { list, place, ..Self::new(descriptors, place.id, place.next, place.slots) }
    }

    /// Returns the table that the walk is in. The descriptors of an indirect one are read one by one.
    #[inline(always)]
    fn table(&self) -> DescriptorTable<'r, M> {
        let table = self.descriptors.table();
        match self.place.indirect {
            None => table,
            Some(range) => DescriptorTable::from_parts(table.mem(), range, DeviceArray::empty()),
        }
    }

    /// Reads the next descriptor, if it can be read at once.
    #[inline(always)]
    fn load(&self) -> Option<Descriptor> {
        if self.reports && !self.list.is_empty() {
            let range = self.table().range();
            let offset = (Descriptor::SIZE * usize::from(self.place.next)) as u64;
            self.descriptors.mem().before_read(range.after(offset).prefix(Descriptor::SIZE as u64));
        }
        Descriptor::load(self.list, 0)
    }

    /// Accepts the element of the next descriptor, if it is plain.
    #[inline(always)]
    fn accept_plain(&mut self, descriptor: Descriptor) -> Option<Element> {
        let element = self.place.accept_plain(&self.plain, descriptor)?;
        self.list = self.list.after(1);
        Some(element)
    }

    /// Moves behind the next descriptor.
    #[inline(always)]
    fn advance(&mut self) {
        self.place = self.place.after(1);
        self.list = self.list.after(1);
    }

    /// Folds the only descriptor that is left, if it can be read at once. Other functions fold one that is not plain.
    ///
    /// PERF: a usual list has one descriptor, and needs no loop (`direct-1-burst-32`, `indirect-8-burst-32`).
    #[inline(always)]
    fn fold_last<'m, P: DriverMem + ?Sized, B, E: From<ChainError>>(
        self,
        mem: &'m P,
        init: B,
        mut work: impl FnMut(B, Piece<'m>) -> Result<B, E>,
    ) -> Result<B, E> {
        let PackedPlace { indirect, id, slots, rules, .. } = self.place;
        let Some(words) = Descriptor::load(self.list, 0).map(words) else {
            return fold_rest(self.at(0, rules).step_anywhere(), mem, init, work).into();
        };
        let (mut accepted, mut access) = (rules, rules.access());
        if accepted.accept_plain_in_list(&self.plain, words.1, &mut access) {
            if let Some(piece) = PackedRules::find(mem, words, access) {
                return work(init, piece);
            }
        }
        if indirect.is_none() && words.1 & INDIRECT != 0 {
            Self::fold_table(self.descriptors, (id, slots), rules, words, mem, init, work)
        } else {
            self.at(0, rules).fold_on(words, mem, init, work)
        }
        .into()
    }

    /// Folds plain descriptors, from `seen` or else from the next one on. Other functions continue at the first one
    /// that is not plain.
    /// A table is not plain: its descriptor is alone in its list, or malformed.
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
        let (mut list, mut rules, mut state) = (self.list, self.place.rules, init);
        let mut access = rules.access();
        loop {
            let done = self.list.len() - list.len();
            let read = || Descriptor::load(list, 0).map(words);
            let Some(words) = seen.take().or_else(read) else {
                if self.is_all() {
                    return Ok(state);
                }
                return fold_rest(self.at(done, rules).step_anywhere(), mem, state, work).into();
            };
            let piece = if !rules.accept_plain_in_list(&self.plain, words.1, &mut access) {
                None
            } else if SEARCH {
                PackedRules::search(mem, words, access)
            } else {
                PackedRules::find(mem, words, access)
            };
            let Some(piece) = piece else {
                let walk = self.at(done, rules.uncounted_in_list(words.1));
                return if SEARCH {
                    fold_rest(walk.step(descriptor(words)), mem, state, work)
                } else {
                    walk.fold_on(words, mem, state, work)
                }
                .into();
            };
            state = work(state, piece)?;
            list = list.after(1);
        }
    }

    /// Returns the walk `done` descriptors further on.
    #[inline(always)]
    fn at(self, done: usize, rules: PackedRules) -> Self {
        Self { list: self.list.after(done), place: PackedPlace { rules, ..self.place.after(done) }, ..self }
    }

    /// Folds the indirect table of a descriptor, which must be the only descriptor of its list.
    ///
    /// PERF: this is a usual case, so the function takes its arguments in registers (`indirect-8-burst-32`).
    #[inline(never)]
    fn fold_table<'m, P: DriverMem + ?Sized, B, E: From<ChainError>>(
        descriptors: &'r Descriptors<M>,
        (id, slots): (BufferId, u16),
        rules: PackedRules,
        words: Words,
        mem: &'m P,
        init: B,
        work: impl FnMut(B, Piece<'m>) -> Result<B, E>,
    ) -> Rest<B, E> {
        match Self::new(descriptors, id, 0, slots).at(0, rules).enter(descriptor(words)) {
            Ok(table) => table.run::<false, _, _, _>(None, mem, init, work).into(),
            Err(kind) => Rest::Failed(ChainError { id: id.0, kind }.into()),
        }
    }

    /// Folds the rest of a list, from a descriptor that is not plain or not found at once.
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

    /// Returns whether all descriptors that are left can be read at once.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "no list has more than 2^16 descriptors")]
    const fn is_all(&self) -> bool {
        self.list.len() as u32 == self.place.left
    }

    /// Returns whether the walk must continue in the indirect table of a descriptor.
    #[inline(always)]
    fn is_table(&self, descriptor: Descriptor) -> bool {
        self.place.indirect.is_none() && descriptor.flags().contains(DescriptorFlags::INDIRECT)
    }

    /// Returns whether no descriptor is plain, or each read of one must be reported.
    #[inline(always)]
    fn is_slow(&self) -> bool {
        self.place.rules.is_slow() || self.reports
    }

    /// Continues in the indirect table of a descriptor. The WRITE flag of the descriptor has no meaning (PACK-IND-4),
    /// and the descriptor itself is not an element. It must be alone in its list (PACK-SG-5).
    #[inline(always)]
    pub(super) fn enter(self, descriptor: Descriptor) -> Result<Self, ChainErrorKind> {
        let limits = &self.descriptors.limits;
        if !limits.indirect {
            return Err(ChainErrorKind::IndirectNotNegotiated);
        }
        if self.place.slots != 1 {
            return Err(ChainErrorKind::IndirectWithNext);
        }
        let (range, left) = limits.table(claim(descriptor))?;
        if left > MAX_ENTRIES {
            return Err(ChainErrorKind::TableLen { len: descriptor.len() });
        }
        let table = DescriptorTable::indirect(self.descriptors.mem(), range).map_err(ChainErrorKind::Memory)?;
        let place = PackedPlace { indirect: Some(range), next: 0, left, ..self.place };
        Ok(Self { list: table.contiguous().prefix(left as usize), place, ..self })
    }

    /// Returns whether the walk is at the end of the ring, and must continue at the beginning.
    #[inline(always)]
    fn is_at_end(&self) -> bool {
        self.place.indirect.is_none() && self.place.next == self.descriptors.size.get()
    }

    /// Reads the next descriptor, which cannot be read at once, and takes a step.
    #[cold]
    #[inline(never)]
    fn step_anywhere(mut self) -> Step<Self> {
        if self.is_at_end() {
            self.place.next = 0;
            self.list = self.descriptors.table().contiguous().prefix(self.place.left as usize);
        }
        match self.table().get(DescriptorIndex(self.place.next)) {
            Ok(descriptor) => self.step(descriptor),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Takes a step from a descriptor that is not plain. The step can end without an item.
    #[cold]
    #[inline(never)]
    fn step(mut self, descriptor: Descriptor) -> Step<Self> {
        if self.is_table(descriptor) {
            let entered = self.clone().enter(descriptor);
            return entered.map_or_else(|kind| self.fail(kind), |walk| (walk, None));
        }
        self.advance();
        match self.place.rules.accept(&self.descriptors.limits, claim(descriptor)) {
            Ok(element) => (self, element.map(Ok)),
            Err(kind) => self.fail(kind),
        }
    }

    /// Ends the walk with an error.
    fn fail(mut self, kind: ChainErrorKind) -> Step<Self> {
        self.place.left = 0;
        let id = self.id();
        (self, Some(Err(ChainError { id, kind })))
    }
}

/// The flag INDIRECT in the second word of a descriptor.
const INDIRECT: u64 = (DescriptorFlags::INDIRECT.0 as u64) << 48;

/// Returns the two words of a descriptor.
#[inline(always)]
const fn words(descriptor: Descriptor) -> Words {
    (descriptor.addr(), descriptor.word())
}

/// Makes a descriptor from its two words.
#[inline(always)]
const fn descriptor((addr, word): Words) -> Descriptor {
    Descriptor::from_word(addr, word)
}

/// The largest number of entries in a table, since each entry has an index of 16 bits.
const MAX_ENTRIES: u32 = 1 << 16;

#[inline(always)]
pub(super) fn claim(descriptor: Descriptor) -> Claim {
    PackedRules::claim(words(descriptor))
}

impl<M: StableMem> Iterator for PackedWalk<'_, M> {
    type Item = Result<Element, ChainError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.place.left == 0 {
                return None;
            }
            let (walk, item) = match self.load() {
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

impl<M: StableMem> Walk for PackedWalk<'_, M> {
    #[inline(always)]
    fn id(&self) -> u16 {
        self.place.id.0
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
        if self.place.left == 1 {
            return self.fold_last(mem, init, work);
        }
        self.run::<false, _, _, _>(None, mem, init, work)
    }
}

impl<M> Clone for PackedWalk<'_, M> {
    #[inline]
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}
