//! Memory that checks each access of a device, and that a driver changes in between.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use std::panic::resume_unwind;
use std::sync::{Mutex, MutexGuard, PoisonError};

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, TranslateError};

use super::breach::Breach;
use super::lent::{Layout, Lent, Place};
use super::schedule::Schedule;
use super::work::{Touched, Work};
use crate::restrictions::Restrictions;
use crate::view::DriverView;

/// The place of the memory.
const BASE: DriverAddr = DriverAddr(0x1000_0000);
const LEN: usize = 0x4000;

/// After so many breaches, the memory records no more.
const MAX_BREACHES: usize = 8;

/// The memory of a device under attack.
///
/// It is a [`DriverMem`]. It checks that each access was translated for this access, and that the driver has lent the
/// bytes. It stops a device that makes too many accesses: the device unwinds.
///
/// A device that does not use [`DriverMem`] can use [`read`](Self::read) and [`write`](Self::write) instead.
///
/// The memory can be shared between threads. A device gets it from a [`Setup`](super::Setup).
pub struct HostileMem {
    heap: Arc<HeapMem>,
    view: DriverView,
    reports: bool,
    state: Mutex<State>,
}

/// The payload of a panic that stops a device.
pub(super) struct Overrun;

struct State {
    restrictions: Restrictions,
    lent: Lent,
    /// The translations so far of each byte: 1 for reads, 2 for writes.
    rights: Vec<u8>,
    /// The bytes in memory that the driver wrote, or that the device reported.
    known: Vec<u8>,
    /// Whether the device has written the byte since the driver lent it.
    written: Vec<bool>,
    schedule: Schedule,
    work: Work,
    touched: Touched,
    limit: u64,
    /// Whether the device reported a fatal error.
    fatal: bool,
    breaches: Vec<Breach>,
}

impl HostileMem {
    pub(super) fn new(reports: bool) -> Self {
        let heap = Arc::new(HeapMem::new(BASE, LEN).expect("the host has enough memory"));
        let state = State {
            restrictions: Restrictions::new(),
            lent: Lent::new(heap.range()),
            rights: vec![0; LEN],
            known: vec![0; LEN],
            written: vec![false; LEN],
            schedule: Schedule::default(),
            work: Work::default(),
            touched: Touched::default(),
            limit: u64::MAX,
            fatal: false,
            breaches: Vec::new(),
        };
        Self { view: DriverView::new(Arc::clone(&heap)), heap, reports, state: Mutex::new(state) }
    }

    /// Returns all addresses of the memory.
    #[must_use]
    pub fn range(&self) -> DriverRange {
        self.heap.range()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A device that was stopped can have been stopped here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accesses for a device that does not use [`DriverMem`].
impl HostileMem {
    /// Reads the bytes at `addr`, as a device does.
    ///
    /// # Errors
    ///
    /// If one of the bytes is missing, or must not be read.
    pub fn read(&self, addr: DriverAddr, buf: &mut [u8]) -> Result<(), TranslateError> {
        let range = DriverRange::new(addr, buf.len() as u64).ok_or(TranslateError::Unmapped { addr })?;
        self.for_each_piece(range, Access::Read, |piece, at| {
            self.before_read(range.after(at.start as u64).prefix(at.len() as u64));
            let part = buf.get_mut(at).unwrap_or_default();
            // A piece is as long as its part.
            let _ = piece.read_bytes(0, part);
        })
    }

    /// Writes the bytes to `addr`, as a device does.
    ///
    /// # Errors
    ///
    /// If one of the bytes is missing, or must not be written. The bytes before it are written.
    pub fn write(&self, addr: DriverAddr, bytes: &[u8]) -> Result<(), TranslateError> {
        let range = DriverRange::new(addr, bytes.len() as u64).ok_or(TranslateError::Unmapped { addr })?;
        self.for_each_piece(range, Access::Write, |piece, at| {
            let part = bytes.get(at.clone()).unwrap_or_default();
            // A piece is as long as its part.
            let _ = piece.write_bytes(0, part);
            self.written(range.after(at.start as u64).prefix(at.len() as u64));
        })
    }

    fn for_each_piece(
        &self,
        range: DriverRange,
        access: Access,
        mut with: impl FnMut(DeviceRange<'_>, Range<usize>),
    ) -> Result<(), TranslateError> {
        let mut done = 0;
        while (done as u64) < range.len() {
            let piece = self.translate(range.after(done as u64), access)?;
            with(piece, done..done + piece.len());
            done += piece.len();
        }
        Ok(())
    }
}

/// The driver's side.
impl HostileMem {
    pub(super) const fn view(&self) -> &DriverView {
        &self.view
    }

    pub(super) fn set_layout(&self, layout: Layout) {
        self.state().lent.set_layout(layout);
    }

    pub(super) fn restrict(&self, range: DriverRange, allowed: Option<Access>) {
        self.state().restrictions.restrict(range, allowed);
    }

    pub(super) fn split_at(&self, addr: DriverAddr) {
        self.state().restrictions.split_at(addr);
    }

    /// Gives the device all of the memory again.
    pub(super) fn heal(&self) {
        let mut state = self.state();
        state.restrictions = Restrictions::new();
        state.schedule = Schedule::default();
    }

    pub(super) fn with_schedule(&self, with: impl FnOnce(&mut Schedule)) {
        with(&mut self.state().schedule);
    }

    /// Writes while the device is at work.
    pub(super) fn poke(&self, addr: DriverAddr, bytes: &[u8]) {
        self.state().poke(&self.view, addr, bytes);
    }

    /// Returns the part of an element before the end of the memory.
    fn reachable(&self, element: DriverRange) -> DriverRange {
        let offset = self.range().offset_of(element.start());
        element.prefix(offset.map_or(0, |offset| self.range().len() - offset))
    }

    /// Forgets that the device has written these bytes.
    pub(super) fn forget(&self, range: DriverRange) {
        let places = places(self.reachable(range));
        self.state().written.get_mut(places).into_iter().flatten().for_each(|written| *written = false);
    }

    /// Returns how many bytes the device has written in `ranges`, from the start and without a gap. Without reports,
    /// that is not known, and all of them count.
    pub(super) fn written_prefix(&self, ranges: &[DriverRange]) -> u64 {
        if !self.reports {
            return ranges.iter().map(|range| range.len()).sum();
        }
        let state = self.state();
        let written = |range: &DriverRange| {
            let places = state.written.get(places(self.reachable(*range))).unwrap_or_default();
            places.iter().take_while(|written| **written).count() as u64
        };
        let mut sum = 0;
        for range in ranges {
            let written = written(range);
            sum += written;
            if written < range.len() {
                break;
            }
        }
        sum
    }
}

/// The oracle's side.
impl HostileMem {
    /// Begins a call of the device, which can make `limit` accesses and translations. The driver has written nothing
    /// behind the first `len` bytes since the last call.
    pub(super) fn begin(&self, limit: u64, len: usize, in_flight: &[(DriverRange, Access)]) {
        let known = self.view.peek(BASE, len.min(LEN));
        let mut state = self.state();
        state.known.get_mut(..known.len()).expect("it is a part of the memory").copy_from_slice(&known);
        state.lent.scan(&self.view);
        in_flight.iter().for_each(|(element, access)| state.lent.add_element(*element, *access));
        (state.work, state.touched, state.limit) = (Work::default(), Touched::default(), limit);
    }

    /// Ends a call of the device, and checks the first `len` bytes of the memory.
    pub(super) fn end(&self, len: usize) -> (Work, Touched, Vec<Breach>) {
        let now = self.view.peek(BASE, len.min(LEN));
        let mut state = self.state();
        // A device that reports nothing has written used descriptors as well.
        state.lent.add_used(&self.view, self.range());
        state.check(&now, self.reports);
        (state.work, state.touched, core::mem::take(&mut state.breaches))
    }

    /// Takes note of a fatal error. The device must not access the rings from now on.
    pub(super) fn is_fatal(&self) {
        self.state().fatal = true;
    }

    fn stop(&self, over: bool) {
        if over && !std::thread::panicking() {
            resume_unwind(Box::new(Overrun));
        }
    }
}

impl DriverMem for HostileMem {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        let (piece, over) = {
            let mut state = self.state();
            let piece = state.translate(range, access);
            (piece, state.step(&self.view))
        };
        self.stop(over);
        let found = self.heap.translate(piece?, access)?;
        self.state().grant(range.prefix(found.len() as u64), access);
        Ok(found)
    }

    fn reports(&self, _access: Access) -> bool {
        self.reports
    }

    fn before_read(&self, range: DriverRange) {
        let over = {
            let mut state = self.state();
            state.note(range, Access::Read);
            state.work.reads += 1;
            state.step(&self.view)
        };
        self.stop(over);
    }

    fn written(&self, range: DriverRange) {
        let over = {
            let mut state = self.state();
            state.note(range, Access::Write);
            state.learn(&self.view, range);
            state.work.writes += 1;
            state.step(&self.view)
        };
        self.stop(over);
    }
}

impl State {
    /// Takes note of a translation, and returns the piece that the device gets.
    fn translate(&mut self, range: DriverRange, access: Access) -> Result<DriverRange, TranslateError> {
        let nth = self.work.translations;
        self.work.translations += 1;
        if self.schedule.fails(nth) {
            return Err(TranslateError::Unmapped { addr: range.start() });
        }
        self.restrictions.piece(range, access)
    }

    fn grant(&mut self, range: DriverRange, access: Access) {
        let bits = bits(access);
        self.rights.get_mut(places(range)).into_iter().flatten().for_each(|rights| *rights |= bits);
    }

    /// Lets the driver have its turn, and returns whether the device must be stopped.
    fn step(&mut self, view: &DriverView) -> bool {
        let total = self.work.total();
        if let Some(range) = self.schedule.unmapped(total) {
            self.restrictions.restrict(range, None);
        }
        for (addr, bytes) in self.schedule.due(total) {
            self.poke(view, addr, &bytes);
        }
        total % self.limit == 0
    }

    fn poke(&mut self, view: &DriverView, addr: DriverAddr, bytes: &[u8]) {
        let Some(range) = DriverRange::new(addr, bytes.len() as u64) else { return };
        let Some(known) = self.known.get_mut(places(range)) else { return };
        known.copy_from_slice(bytes);
        view.poke(addr, bytes);
        self.lent.add(view, range);
    }

    /// Checks an access.
    fn note(&mut self, range: DriverRange, access: Access) {
        if range.is_empty() {
            return;
        }
        let place = self.lent.place(range.start());
        self.touched.add(place, access);
        let bits = bits(access);
        let translated = self.rights.get(places(range)).is_some_and(|rights| rights.iter().all(|all| all & bits != 0));
        let breach = if !translated {
            Breach::NotTranslated { range, access }
        } else if !self.lent.allows(range, access) {
            Breach::NotLent { range, access }
        } else if self.fatal && place == Place::Ring {
            Breach::AfterFatal { range, access }
        } else {
            return;
        };
        self.breach(breach);
    }

    /// Takes note of the bytes that the device wrote.
    fn learn(&mut self, view: &DriverView, range: DriverRange) {
        let places = places(range);
        let Some(known) = self.known.get_mut(places.clone()) else { return };
        known.copy_from_slice(&view.peek(range.start(), known.len()));
        self.lent.add_used(view, range);
        self.written.get_mut(places).into_iter().flatten().for_each(|written| *written = true);
    }

    /// Checks that the device changed nothing without a report, or without being allowed to.
    fn check(&mut self, now: &[u8], reports: bool) {
        if self.known.get(..now.len()) == Some(now) {
            return;
        }
        let changed = (0..).zip(now.iter().zip(&self.known)).filter(|(_, (now, known))| now != known);
        let changed: Vec<u64> = changed.map(|(offset, _)| offset).collect();
        let breach = changed.into_iter().find_map(|offset| {
            let byte = DriverRange::new(DriverAddr(BASE.0 + offset), 1)?;
            let translated = self.rights.get(places(byte)).is_some_and(|rights| rights.iter().all(|all| all & 2 != 0));
            match (reports, translated && self.lent.allows(byte, Access::Write)) {
                (_, false) => Some(Breach::NotLent { range: byte, access: Access::Write }),
                (true, true) => Some(Breach::Unreported { addr: byte.start() }),
                (false, true) => None,
            }
        });
        breach.into_iter().for_each(|breach| self.breach(breach));
    }

    fn breach(&mut self, breach: Breach) {
        if self.breaches.len() < MAX_BREACHES {
            self.breaches.push(breach);
        }
    }
}

fn bits(access: Access) -> u8 {
    u8::from(access.reads()) | u8::from(access.writes()) << 1
}

/// Returns the places of a range in memory. If a part of the range is elsewhere, they are outside.
fn places(range: DriverRange) -> Range<usize> {
    let place = |addr: u64| addr.checked_sub(BASE.0).and_then(|offset| usize::try_from(offset).ok());
    let start = place(range.start().0).unwrap_or(usize::MAX);
    let len = usize::try_from(range.len()).unwrap_or(usize::MAX);
    start..start.saturating_add(len)
}

impl fmt::Debug for HostileMem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostileMem").field("range", &self.range()).finish_non_exhaustive()
    }
}
