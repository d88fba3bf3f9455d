//! Memory that logs the accesses of the device, and that a test can make misbehave.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, TranslateError};

use crate::restrictions::Restrictions;
use crate::view::DriverView;

/// Driver memory for tests of a device.
///
/// A new `TestMem` behaves like the memory inside it: a [`HeapMem`] or any other [`DriverMem`]. On request, it
/// * [logs](Self::start_log) the accesses of the device, so that a test sees their number, sizes and order;
/// * [restricts](Self::restrict) the access of the device to a range, or [unmaps](Self::unmap) it (FEAT-11);
/// * [splits](Self::split_at) memory that is contiguous for the driver into pieces for the device (LAY-4);
/// * [calls a hook](Self::on_event) before a read, which can change the memory between two reads (HOST-20, FD-15).
///
/// All of this concerns only the device, which uses [`DriverMem`]. The driver uses the [`view`](Self::view). A
/// restriction does not change translations that the device already has. A queue translates its areas when it is made.
/// Later, it translates only memory beyond the first piece of an area. To unmap an area of a running queue, split the
/// area before the queue is made.
///
/// The memory inside receives the reports of reads and writes too.
///
/// A `TestMem` works in one thread. If the device runs in another thread, use the memory inside without a `TestMem`.
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
    restrictions: RefCell<Restrictions>,
    log: RefCell<Option<Vec<MemEvent>>>,
    hook: RefCell<Option<Hook<M>>>,
}

/// An action of a device on driver memory.
///
/// There is one variant for each kind of call of [`DriverMem`]. There will be no others, so a test can match all of
/// them and miss no access.
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
    /// The device asks for a translation. The memory decides after the event whether the device gets one.
    Translate {
        /// The range to translate.
        range: DriverRange,
        /// The access that the device wants.
        access: Access,
    },
    /// The device is about to read the range.
    Read(DriverRange),
    /// The device has written the range.
    Written(DriverRange),
}

type Hook<M> = Box<dyn FnMut(&TestMem<M>, MemEvent)>;

impl<M> TestMem<M> {
    /// Makes a memory around `mem`, without a log, restrictions, pieces or hooks.
    #[must_use]
    pub const fn new(mem: M) -> Self {
        Self {
            view: DriverView::new(mem),
            restrictions: RefCell::new(Restrictions::new()),
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

/// Restrictions of the device.
impl<M> TestMem<M> {
    /// Allows the device only `access` to `range`, from now on.
    ///
    /// This call overrides earlier ones for the same addresses.
    pub fn restrict(&self, range: DriverRange, access: Access) {
        self.restrictions.borrow_mut().restrict(range, Some(access));
    }

    /// Makes a hole of `range` for the device, from now on.
    pub fn unmap(&self, range: DriverRange) {
        self.restrictions.borrow_mut().restrict(range, None);
    }

    /// Ends every translation at `addr` that begins before it, as if another piece of memory began there.
    pub fn split_at(&self, addr: DriverAddr) {
        self.restrictions.borrow_mut().split_at(addr);
    }
}

/// Observation of the device.
impl<M> TestMem<M> {
    /// Starts the log of the device's accesses, or starts it again with an empty log.
    pub fn start_log(&self) {
        *self.log.borrow_mut() = Some(Vec::new());
    }

    /// Returns the events since the log was started or last taken. The log continues.
    ///
    /// # Panics
    ///
    /// If the log was never started.
    pub fn take_log(&self) -> Vec<MemEvent> {
        core::mem::take(self.log.borrow_mut().as_mut().expect("a log must be started before it is taken"))
    }

    /// Calls `hook` for every event from now on. It replaces an earlier hook.
    ///
    /// The hook can use the memory in any way. It is not called for its own accesses. It is called before a
    /// translation, before a read and after a write. The event is logged before the call.
    pub fn on_event(&self, hook: impl FnMut(&Self, MemEvent) + 'static) {
        *self.hook.borrow_mut() = Some(Box::new(hook));
    }

    /// Calls `hook` once, before the device's read number `nth` from now on.
    ///
    /// The next read is number 0. The hook replaces an earlier hook.
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
        // The hook is taken out while it runs. So it is not called for its own accesses, and it can set another hook.
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
        let piece = self.restrictions.borrow().piece(range, access)?;
        self.view.mem().translate(piece, access)
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
