//! Memory that tells what the device did with it, and can be made to misbehave.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, TranslateError};

use crate::DriverView;

/// Driver memory for tests of a device.
///
/// At first it is the memory that it is made around, and nothing more: a [`HeapMem`] or any other [`DriverMem`]. On
/// request it
/// * [logs](Self::start_log) what the device does: "read once", widths and order become visible;
/// * [restricts](Self::restrict) what the device may do with a range, or [takes it away](Self::unmap) (FEAT-11);
/// * [falls into pieces](Self::split_at), so that what is contiguous for the driver is not so for the device (LAY-4);
/// * [calls back](Self::on_event) before a read, to change memory between two of them (HOST-20, FD-15).
///
/// All of that concerns the device alone, that is, [`DriverMem`]; the driver's side is [`view`](Self::view). What the
/// device does with a translation that it got earlier cannot be prevented any more: a queue translates its areas when
/// it is made, and only what lies beyond the first piece of an area is translated again. To take an area away from a
/// running queue, split it first.
///
/// What the device reads and writes is reported to the memory inside, too.
///
/// For one thread. Where the device runs in another, use the memory inside by itself.
///
/// ```
/// use std::sync::Arc;
/// use virtio_fake_driver::{MemEvent, TestMem};
/// use virtio_mem_traits::{Access, DriverAddr, DriverMem, DriverRange, HeapMem};
///
/// let mem = TestMem::new(Arc::new(HeapMem::new(DriverAddr(0x1000), 0x1000)?));
/// let range = DriverRange::new(DriverAddr(0x1100), 0x20).ok_or("too long")?;
/// mem.split_at(DriverAddr(0x1110));
/// mem.start_log();
/// assert_eq!(mem.translate(range, Access::Read)?.len(), 0x10);
/// assert_eq!(mem.take_log(), [MemEvent::Translate { range, access: Access::Read }]);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct TestMem<M = Arc<HeapMem>> {
    view: DriverView<M>,
    /// What the device may do, where it is not everything. Later ones outweigh earlier ones.
    rules: RefCell<Vec<Rule>>,
    splits: RefCell<Vec<DriverAddr>>,
    log: RefCell<Option<Vec<MemEvent>>>,
    hook: RefCell<Option<Hook<M>>>,
}

/// Something that a device does with driver memory.
///
/// There is one for each thing that [`DriverMem`] hears of, and no other: a test can match them all, so that no access
/// escapes it.
///
/// ```
/// use virtio_fake_driver::{DriverChain, MemEvent, SplitFixture};
///
/// let mut fixture = SplitFixture::new(8);
/// fixture.driver.add(&DriverChain::new().readable(b"1"))?;
/// let areas = *fixture.driver.areas();
/// fixture.mem.start_log();
/// drop(fixture.queue.next_chain()?); // A chain that is dropped is used.
/// assert!(fixture.mem.take_log().contains(&MemEvent::Written(areas.used_index())));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemEvent {
    /// It asks for a translation. Whether it gets one is decided after the event.
    Translate {
        /// What it asks for.
        range: DriverRange,
        /// What it wants to do with it.
        access: Access,
    },
    /// It is about to read.
    Read(DriverRange),
    /// It has written.
    Written(DriverRange),
}

struct Rule {
    range: DriverRange,
    /// `None` if nothing is there.
    allowed: Option<Access>,
}

type Hook<M> = Box<dyn FnMut(&TestMem<M>, MemEvent)>;

impl<M> TestMem<M> {
    /// Makes a memory around `mem`, without a log, restrictions, pieces or hooks.
    #[must_use]
    pub const fn new(mem: M) -> Self {
        Self {
            view: DriverView::new(mem),
            rules: RefCell::new(Vec::new()),
            splits: RefCell::new(Vec::new()),
            log: RefCell::new(None),
            hook: RefCell::new(None),
        }
    }

    /// Returns the driver's side of the memory.
    #[must_use]
    pub const fn view(&self) -> &DriverView<M> {
        &self.view
    }
}

/// What the device sees of the memory.
impl<M> TestMem<M> {
    /// Allows the device no more than `access` to `range`, from now on and whatever was said of it before.
    pub fn restrict(&self, range: DriverRange, access: Access) {
        self.rules.borrow_mut().push(Rule { range, allowed: Some(access) });
    }

    /// Makes a hole of `range`, from now on.
    pub fn unmap(&self, range: DriverRange) {
        self.rules.borrow_mut().push(Rule { range, allowed: None });
    }

    /// Ends every translation that begins before `addr` there, as if something else lay beyond.
    pub fn split_at(&self, addr: DriverAddr) {
        self.splits.borrow_mut().push(addr);
    }

    fn allowed(&self, addr: DriverAddr) -> Option<Access> {
        let rules = self.rules.borrow();
        let rule = rules.iter().rev().find(|rule| rule.range.offset_of(addr).is_some());
        rule.map_or(Some(Access::ReadWrite), |rule| rule.allowed)
    }

    fn allows(&self, addr: DriverAddr, access: Access) -> bool {
        self.allowed(addr).is_some_and(|allowed| allowed.allows(access))
    }

    /// Returns how much of `range`, whose first byte is allowed, is one piece: up to a split, or to where a rule begins
    /// or ends and `access` is not allowed any more.
    fn piece_len(&self, range: DriverRange, access: Access) -> u64 {
        let (splits, rules) = (self.splits.borrow(), self.rules.borrow());
        let edges = rules.iter().flat_map(|rule| [rule.range.start(), rule.range.after(rule.range.len()).start()]);
        let ends = splits.iter().copied().chain(edges.filter(|edge| !self.allows(*edge, access)));
        let lens = ends.filter_map(|end| range.offset_of(end)).filter(|len| *len != 0);
        lens.min().unwrap_or(range.len())
    }
}

/// What the test sees of the device.
impl<M> TestMem<M> {
    /// Begins to log what the device does, or begins anew.
    pub fn start_log(&self) {
        *self.log.borrow_mut() = Some(Vec::new());
    }

    /// Returns what was logged since the log was started or last taken. The log goes on.
    ///
    /// # Panics
    ///
    /// If it was never started.
    pub fn take_log(&self) -> Vec<MemEvent> {
        core::mem::take(self.log.borrow_mut().as_mut().expect("a log is started before it is taken"))
    }

    /// Calls `hook` on everything that the device does from now on, in place of an earlier hook.
    ///
    /// It may do with the memory what it likes, and is not called for it. It is called before a translation is
    /// answered, before a read and after a write, each time after the log has taken note.
    pub fn on_event(&self, hook: impl FnMut(&Self, MemEvent) + 'static) {
        *self.hook.borrow_mut() = Some(Box::new(hook));
    }

    /// Calls `hook` once, before the device's read number `nth` from now on, in place of an earlier hook. The next read
    /// is number 0.
    pub fn on_read(&self, nth: usize, hook: impl FnOnce(&Self) + 'static) {
        let (mut before, mut hook) = (nth, Some(hook));
        self.on_event(move |mem, event| match event {
            MemEvent::Read(_) if before > 0 => before -= 1,
            MemEvent::Read(_) => {
                if let Some(hook) = hook.take() {
                    hook(mem);
                }
            }
            _ => {}
        });
    }

    fn event(&self, event: MemEvent) {
        if let Some(log) = self.log.borrow_mut().as_mut() {
            log.push(event);
        }
        // While it runs, the hook is not in its place: so it is not called for what it does itself, and may set
        // another.
        let hook = self.hook.take();
        if let Some(mut hook) = hook {
            hook(self, event);
            self.hook.borrow_mut().get_or_insert(hook);
        }
    }
}

impl<M: DriverMem> DriverMem for TestMem<M> {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        self.event(MemEvent::Translate { range, access });
        let addr = range.start();
        match self.allowed(addr) {
            None => Err(TranslateError::Unmapped { addr }),
            Some(allowed) if !allowed.allows(access) => Err(TranslateError::Denied { addr, access }),
            Some(_) => self.view.mem().translate(range.prefix(self.piece_len(range, access)), access),
        }
    }

    fn before_read(&self, range: DriverRange) {
        self.event(MemEvent::Read(range));
        self.view.mem().before_read(range);
    }

    fn written(&self, range: DriverRange) {
        self.view.mem().written(range);
        self.event(MemEvent::Written(range));
    }
}

impl<M: fmt::Debug> fmt::Debug for TestMem<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestMem").field("view", &self.view).finish_non_exhaustive()
    }
}
