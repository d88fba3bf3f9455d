//! Driver memory that counts, checks, and changes while it is looked at.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virtio_fake_driver::DriverView;
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, TranslateError};

use crate::input::Input;

/// Where the memory begins, and its length.
pub(crate) const BASE: u64 = 0x1000;
pub(crate) const LEN: usize = 0x2000;

/// All is on one thread, but a shared queue wants memory that can go to others.
const RELAXED: Ordering = Ordering::Relaxed;

/// A value that can be changed through a handle.
#[derive(Default)]
struct Locked<T>(Mutex<T>);

impl<T> Locked<T> {
    const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    fn get(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory under attack.
pub(crate) struct Memory {
    heap: Arc<HeapMem>,
    view: DriverView<Arc<HeapMem>>,
    /// Whether it wants to be told of accesses. Without that, queues take shortcuts.
    reports: bool,
    work: AtomicU64,
    /// What was translated so far for which access, byte by byte: 1 for reading, 2 for writing.
    rights: Locked<Vec<u8>>,
    /// What was reported as written since the driver last asked, byte by byte.
    reported: Locked<Vec<bool>>,
    /// What lies in memory, by what the driver wrote and what the device has reported.
    known: Locked<Vec<u8>>,
    /// Where contiguous memory ends.
    borders: Vec<u64>,
    /// Parts of memory with fewer rights, the last one first.
    denied: Locked<Vec<(DriverRange, Option<Access>)>>,
    /// What the driver does next while the device is at work, the last one first.
    script: Locked<Vec<(u64, u64)>>,
    /// After how many accesses.
    pace: AtomicU64,
    /// What a wrong implementation answers.
    lie: AtomicU8,
}

impl Memory {
    /// Makes memory that is cut as the input says.
    pub(crate) fn new(input: &mut Input<'_>) -> Arc<Self> {
        let heap = Arc::new(HeapMem::new(DriverAddr(BASE), LEN).unwrap());
        let how = input.u8();
        let cuts = if how & 1 == 0 { 0 } else { input.u8() % 6 };
        Arc::new(Self {
            view: DriverView::new(Arc::clone(&heap)),
            heap,
            reports: how & 2 == 0,
            work: AtomicU64::default(),
            rights: Locked::new(vec![0; LEN]),
            reported: Locked::new(vec![false; LEN]),
            known: Locked::new(vec![0; LEN]),
            borders: (0..cuts).map(|_| anywhere(input)).collect(),
            denied: Locked::default(),
            script: Locked::default(),
            pace: AtomicU64::new(1),
            lie: AtomicU8::default(),
        })
    }

    /// Writes as the driver does, as far as there is memory.
    pub(crate) fn poke(&self, addr: u64, bytes: &[u8]) {
        let Some(at) = addr.checked_sub(BASE).and_then(|at| usize::try_from(at).ok()).filter(|at| *at < LEN) else {
            return;
        };
        let bytes = &bytes[..bytes.len().min(LEN - at)];
        self.view.poke(DriverAddr(addr), bytes);
        self.known.get()[at..][..bytes.len()].copy_from_slice(bytes);
    }

    /// Returns the memory for a driver of the fake driver's, which tells when it is [done](Self::driver_is_done).
    pub(crate) fn heap(&self) -> Arc<HeapMem> {
        Arc::clone(&self.heap)
    }

    /// Takes what lies in memory for what the driver wrote.
    pub(crate) fn driver_is_done(&self) {
        *self.known.get() = self.peek(BASE, LEN);
    }

    /// Forgets what was reported as written in a buffer that the driver makes available.
    pub(crate) fn forget(&self, addr: u64, len: u32) {
        self.reported.get()[Self::places(range(addr, len))].fill(false);
    }

    /// Returns whether all of a buffer was reported as written, unless no reports are wanted.
    pub(crate) fn was_reported(&self, addr: u64, len: u32) -> bool {
        !self.reports || self.reported.get()[Self::places(range(addr, len))].iter().all(|reported| *reported)
    }

    /// Reads as the driver does.
    pub(crate) fn peek(&self, addr: u64, len: usize) -> Vec<u8> {
        self.view.peek(DriverAddr(addr), len)
    }

    /// Returns how many translations and accesses there were.
    pub(crate) fn work(&self) -> u64 {
        self.work.load(RELAXED)
    }

    /// Takes rights away.
    pub(crate) fn deny(&self, input: &mut Input<'_>) {
        for _ in 0..input.u8() % 4 {
            let range = DriverRange::new(DriverAddr(anywhere(input)), input.u8().into()).unwrap();
            let left = input.one_of(&[None, Some(Access::Read), Some(Access::Write), Some(Access::ReadWrite)]);
            self.denied.get().push((range, left));
        }
    }

    /// Lets the driver write while the device is at work.
    pub(crate) fn script(&self, input: &mut Input<'_>) {
        self.pace.store(u64::from(input.u8() % 8) + 1, RELAXED);
        let script = (0..input.u8() % 16).map(|_| (anywhere(input), input.u64())).collect();
        *self.script.get() = script;
    }

    /// Returns whether the driver has nothing more to do while the device is at work.
    pub(crate) fn is_quiet(&self) -> bool {
        self.script.get().is_empty() && self.lie.load(RELAXED) == 0
    }

    /// Lets some translations be answered wrongly.
    pub(crate) fn lie(&self, how: u8) {
        self.lie.store(how, RELAXED);
    }

    /// Checks that nothing has changed that was not translated for writing and, if reports are wanted, reported.
    pub(crate) fn check(&self) {
        let (now, known, rights) = (self.peek(BASE, LEN), self.known.get(), self.rights.get());
        // Where a memory lies between the words of one element, the first word is stored and not reported.
        let reports = self.reports && self.lie.load(RELAXED) == 0;
        for (at, (now, known)) in now.iter().zip(known.iter()).enumerate() {
            let fine = now == known || (!reports && rights[at] & 2 != 0);
            assert!(fine, "{:#x} has changed from {known:#x} to {now:#x}", BASE + at as u64);
        }
    }

    /// Takes note of an access, and lets the driver have its turn.
    fn step(&self) {
        let count = self.work.load(RELAXED) + 1;
        self.work.store(count, RELAXED);
        if count.is_multiple_of(self.pace.load(RELAXED)) {
            let next = self.script.get().pop();
            if let Some((addr, bytes)) = next {
                self.poke(addr, &bytes.to_le_bytes()[..1 + (bytes >> 61) as usize]);
            }
        }
    }

    /// Returns how much of `range` has the same rights and is in one piece, and those rights.
    fn piece(&self, range: DriverRange) -> (DriverRange, Option<Access>) {
        let denied = self.denied.get();
        let ends = denied.iter().flat_map(|(range, _)| [range.start(), range.after(range.len()).start()]);
        let borders = self.borders.iter().map(|border| DriverAddr(*border)).chain(ends);
        let len = borders.filter_map(|border| range.offset_of(border)).filter(|len| *len != 0).min();
        let part = denied.iter().rev().find(|(part, _)| part.offset_of(range.start()).is_some());
        (range.prefix(len.unwrap_or(u64::MAX)), part.map_or(Some(Access::ReadWrite), |(_, left)| *left))
    }

    /// Returns where in memory a range is that was translated.
    fn places(range: DriverRange) -> std::ops::Range<usize> {
        let start = (range.start().0 - BASE) as usize;
        start..start + range.len() as usize
    }

    fn grant(&self, range: DriverRange, access: Access) {
        let bits = u8::from(access.reads()) | u8::from(access.writes()) << 1;
        self.rights.get()[Self::places(range)].iter_mut().for_each(|rights| *rights |= bits);
    }

    #[track_caller]
    fn assert_granted(&self, range: DriverRange, bit: u8, what: &str) {
        // A device that was lied to may report more than it has done.
        let granted = self.lie.load(RELAXED) != 0
            || self.rights.get()[Self::places(range)].iter().all(|rights| rights & bit != 0);
        assert!(granted, "{range} is {what}, and was not translated for that");
    }
}

impl DriverMem for Memory {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        self.step();
        let (piece, left) = self.piece(range);
        let addr = range.start();
        let left = left.ok_or(TranslateError::Unmapped { addr })?;
        if !left.allows(access) {
            return Err(TranslateError::Denied { addr, access });
        }
        let answer = match self.lie.load(RELAXED) {
            lie if lie == 0 || !self.work.load(RELAXED).is_multiple_of(5) => self.heap.translate(piece, access)?,
            lie if lie % 3 == 0 => self.heap.translate(piece, Access::Read)?,
            lie if lie % 3 == 1 => self.heap.translate(piece.prefix(0), access)?,
            // More than was asked for.
            _ => self.heap.translate(DriverRange::new(addr, 1 << 20).unwrap_or(range), access)?,
        };
        self.grant(range.prefix(answer.len() as u64), answer.access());
        Ok(answer)
    }

    fn reports(&self, _access: Access) -> bool {
        self.reports
    }

    fn before_read(&self, range: DriverRange) {
        self.assert_granted(range, 1, "read");
        self.step();
    }

    fn written(&self, range: DriverRange) {
        self.assert_granted(range, 2, "written");
        let places = Self::places(range);
        let bytes = self.peek(range.start().0, places.len());
        self.reported.get()[places.clone()].fill(true);
        self.known.get()[places].copy_from_slice(&bytes);
        self.work.fetch_add(1, RELAXED);
    }
}

fn range(addr: u64, len: u32) -> DriverRange {
    DriverRange::new(DriverAddr(addr), len.into()).unwrap()
}

/// Returns an address in memory.
pub(crate) fn anywhere(input: &mut Input<'_>) -> u64 {
    BASE + u64::from(input.u16()) % LEN as u64
}
