//! A driver and a device that do one action after the other, and what must hold after each.

mod device;

use core::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::features::{EVENT_IDX, IN_ORDER, INDIRECT_DESC, RING_PACKED};
use virtio_fake_driver::{Any, Driver, DriverChain, DriverOptions};
use virtio_mem_traits::{Access, DriverMem, DriverRange, HeapMem};
use virtio_queue_core::packed::PackedRing;
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{
    AnyRing, ChainElements, ChainError, DescChain, DriverAddr, Queue, QueueConfig, QueueLimits, ReturnTo, Token, Walk,
};
use virtio_util::NotificationCounter;

use crate::action::{Action, After, Corruption, Kind, Setup, Shape};
use crate::memory::{Mem, Watched};
use crate::model::{Held, Model, Waits, pattern};
use crate::ring::{InOrder, Make, Ordered, OrderedInArray, Recorded};

const BASE: u64 = 0x100;
const LEN: usize = 0x2000;

type Device<R> = Queue<R, Arc<NotificationCounter>>;

struct Run<R: Make> {
    setup: Setup,
    mem: Mem,
    config: QueueConfig,
    driver: Option<Driver<Any, Arc<HeapMem>>>,
    queue: Option<Device<R>>,
    notifications: Arc<NotificationCounter>,
    held: Vec<Held>,
    stale: Vec<u64>,
    model: Model,
    /// Whether the driver has kept to the rules since the last reset.
    honest: bool,
    /// Whether the fault of the queue was reported.
    reported: bool,
    /// What the device itself has written in this action.
    wrote: RefCell<Vec<DriverRange>>,
}

/// Runs a sequence of actions on a ring of the kind that `setup` names.
pub(crate) fn run(setup: Setup, actions: &[Action]) {
    match setup.kind {
        Kind::Split => run_on::<SplitRing<Mem>>(setup, actions),
        Kind::Packed => run_on::<PackedRing<Mem>>(setup, actions),
        Kind::Any | Kind::AnyPacked => run_on::<AnyRing<Mem>>(setup, actions),
        Kind::Ordered => run_on::<Ordered<SplitRing<Mem>>>(setup, actions),
        Kind::OrderedPacked => run_on::<OrderedInArray<PackedRing<Mem>>>(setup, actions),
        Kind::InOrder | Kind::InOrderPacked => run_on::<InOrder<AnyRing<Mem>>>(setup, actions),
        Kind::Recorded => run_on::<Recorded<SplitRing<Mem>>>(setup, actions),
        Kind::RecordedPacked => run_on::<Recorded<PackedRing<Mem>>>(setup, actions),
    }
}

fn run_on<R: Make>(setup: Setup, actions: &[Action]) {
    let mem = Watched::new(BASE, LEN, setup.reports);
    let driver = Driver::<Any>::new(mem.heap(), setup.size, options(setup));
    let config = driver.queue_config(QueueLimits::default());
    let notifications = Arc::new(NotificationCounter::new());
    let queue = Queue::from_ring(R::make(&config, Rc::clone(&mem)), Arc::clone(&notifications)).unwrap();
    let mut run = Run {
        setup,
        mem,
        config,
        driver: Some(driver),
        queue: Some(queue),
        notifications,
        held: Vec::new(),
        stale: Vec::new(),
        model: Model::new(),
        honest: true,
        reported: false,
        wrote: RefCell::default(),
    };
    actions.iter().for_each(|action| run.step(action));
}

fn options(setup: Setup) -> DriverOptions {
    let feature = |has, feature| if has { feature } else { 0 };
    let features = INDIRECT_DESC
        | feature(setup.event_idx, EVENT_IDX)
        | feature(setup.kind.is_packed(), RING_PACKED)
        | feature(setup.kind.negotiates_order(), IN_ORDER);
    DriverOptions { features, ..DriverOptions::default() }
}

/// What a device sees of a chain.
#[derive(Clone, Default)]
struct Seen {
    said: Vec<u8>,
    written: u32,
    writable: Vec<DriverRange>,
}

impl Seen {
    /// Reads or writes an element, or as much of it as an honest driver's has.
    fn element(&mut self, mem: &Watched, wrote: &RefCell<Vec<DriverRange>>, range: DriverRange, access: Access) {
        let range = range.prefix(8);
        let Ok(memory) = mem.translate_all(range, access) else { return };
        if access.writes() {
            let bytes: Vec<u8> = pattern(self.written + range.len() as u32).skip(self.written as usize).collect();
            memory.write_bytes(0, &bytes).unwrap();
            mem.written(range);
            wrote.borrow_mut().push(range);
            self.written += range.len() as u32;
            self.writable.push(range);
        } else {
            mem.before_read(range);
            let mut bytes = vec![0; range.len() as usize];
            memory.read_bytes(0, &mut bytes).unwrap();
            self.said.extend(bytes);
        }
    }

    fn check(&self, chain: &DriverChain) {
        assert_eq!(self.said, chain.readable_bytes());
        assert_eq!(u64::from(self.written), chain.writable_len());
    }
}

/// Does a request, after a look at its elements in each way.
fn look<R: Make, T: ReturnTo<R>>(chain: &DescChain<'_, R, T>, wrote: &RefCell<Vec<DriverRange>>, limit: usize) -> Seen {
    let (mem, mut place) = (chain.mem(), chain.start());
    let stepped: Vec<_> = core::iter::from_fn(|| chain.next_element(&mut place)).collect();
    let walked: Vec<_> = chain.walk().collect();
    assert_eq!(stepped, walked, "two walks of one chain");
    let good: Vec<_> = walked.iter().map_while(|element| element.as_ref().ok()).collect();
    let error = walked.get(good.len()).map(|error| error.as_ref().unwrap_err());
    assert!(walked.len() <= good.len() + 1 && error.is_none_or(|error| error.id == chain.id()));
    assert!(good.len() <= limit && good.iter().map(|element| element.range.len()).sum::<u64>() <= 1 << 32);
    assert!(good.is_sorted_by_key(|element| element.access.writes()), "readable elements come first");
    let folded = chain.walk().try_fold_pieces(mem, 0, |count, _| Ok::<_, ChainError>(count + 1));
    assert!(error.is_none() || folded.is_err(), "a fold ended early: {error:?}");
    let mut seen = Seen::default();
    good.iter().for_each(|element| seen.element(mem, wrote, element.range, element.access));
    seen
}

impl<R: Make> Run<R> {
    fn queue(&mut self) -> &mut Device<R> {
        self.queue.as_mut().unwrap()
    }

    fn driver(&mut self) -> &mut Driver<Any, Arc<HeapMem>> {
        self.driver.as_mut().unwrap()
    }

    fn used_position(&self) -> u16 {
        if self.honest { self.driver.as_ref().unwrap().used_position() } else { 0 }
    }

    fn step(&mut self, action: &Action) {
        match action {
            Action::Publish(shapes) => self.publish(shapes),
            Action::Reap { wait } if self.honest => self.reap(*wait),
            Action::Reap { .. } => {}
            Action::Corrupt(corruption) => self.corrupt(*corruption),
            Action::Reset => self.reset(),
            _ => self.device_step(action),
        }
    }

    /// An action of the device, and what must hold after it.
    fn device_step(&mut self, action: &Action) {
        let (before, used, work) = (self.mem.snapshot(), self.used_position(), self.mem.work());
        let broken = self.queue().is_broken();
        self.wrote.borrow_mut().clear();
        self.guard();
        self.device_acts(action);
        let work = self.mem.work() - work;
        assert!(work <= self.bound(), "{work} accesses: at most {} are allowed", self.bound());
        // A new handle on the memory translates the areas.
        assert!(!broken || work == 0 || matches!(action, Action::Rebind), "a broken queue made {work} accesses");
        self.check_writes(&before);
        let (in_flight, size) = (self.queue().in_flight(), self.setup.size);
        assert!(in_flight <= size, "{in_flight} slots in flight in a queue of {size}");
        if self.honest {
            assert!(!self.queue().is_broken(), "{:?}", self.queue().fault());
            let slots: usize = self.held.iter().map(|held| self.slots(held.id)).sum();
            assert_eq!(usize::from(in_flight), slots, "slots in flight");
            self.check_notifications(used, matches!(action, Action::Crash | Action::Suspend(After::Restore)));
        }
        self.notifications.take();
    }

    /// Each call fetches all slots at most, with four walks for each, and returns them.
    fn bound(&self) -> u64 {
        let size = u64::from(self.setup.size);
        (size + 3) * (4 * (size + 6) + 3 * size + 20) + 100
    }

    /// Refuses reads of what an honest driver's device must not read.
    fn guard(&mut self) {
        let mut ranges = Vec::new();
        if self.honest {
            ranges.push(self.device_area());
            ranges.extend(self.held.iter().flat_map(|held| held.writable.iter().copied()));
        }
        self.mem.refuse_reads(ranges);
    }

    fn device_area(&self) -> DriverRange {
        let len = if self.setup.kind.is_packed() { 4 } else { 6 + 8 * u64::from(self.setup.size) };
        DriverRange::new(self.config.device_area, len).unwrap()
    }

    /// Checks that nothing has changed beside the Device Area, used descriptors, and what the device itself wrote.
    fn check_writes(&self, before: &[u8]) {
        let (device, wrote) = (self.device_area(), self.wrote.borrow());
        let ring = DriverRange::new(self.config.descriptor_area, 16 * u64::from(self.setup.size)).unwrap();
        for (at, (old, new)) in before.iter().zip(self.mem.snapshot()).enumerate() {
            let addr = DriverAddr(BASE + at as u64);
            let used = self.setup.kind.is_packed() && ring.offset_of(addr).is_some_and(|offset| offset % 16 >= 8);
            let allowed =
                used || device.offset_of(addr).is_some() || wrote.iter().any(|range| range.offset_of(addr).is_some());
            assert!(*old == new || allowed, "the byte at {addr} has changed from {old:#x} to {new:#x}");
        }
    }

    /// Checks that the driver was told exactly if it waits for what became visible.
    fn check_notifications(&mut self, used: u16, restored: bool) {
        let (told, visible) = (self.notifications.take(), self.used_position() != used);
        let due = visible && self.model.driver == Waits::Yes;
        assert!(told > 0 || !due, "the driver waits in vain");
        assert!(told == 0 || due || restored, "{told} notifications without a reason");
        if due && self.setup.event_idx {
            self.model.driver = Waits::Told;
        }
    }

    fn slots(&self, id: u16) -> usize {
        if self.setup.kind.is_packed() { self.model.chains[&id].descriptors() } else { 1 }
    }
}

/// The driver.
impl<R: Make> Run<R> {
    fn publish(&mut self, shapes: &[Shape]) {
        let size = usize::from(self.setup.size);
        let mut count = 0;
        for shape in shapes {
            let chain = chain(shape, size);
            let Ok(id) = self.driver().stage(&chain) else { continue };
            if self.honest {
                assert!(self.model.chains.insert(id, chain).is_none());
                self.model.available.push_back(id);
            }
            count += 1;
        }
        if count == 0 {
            return;
        }
        self.driver().publish();
        let kicked = self.driver().needs_kick();
        if self.honest {
            assert!(kicked || !self.model.waits, "the device waits in vain");
            assert!(!kicked || self.model.kicks || self.setup.event_idx, "the device does not want to be kicked");
            self.model.waits = false;
        }
    }

    fn reap(&mut self, wait: bool) {
        for used in self.driver().reap_all().unwrap() {
            self.model.take_back(used.id, used.written());
        }
        self.model.check_taken_back(self.setup.kind);
        if wait {
            assert!(!self.driver().enable_interrupts());
            self.model.driver = Waits::Yes;
        } else {
            self.driver().disable_interrupts();
            self.model.driver = Waits::No;
        }
    }

    fn corrupt(&mut self, corruption: Corruption) {
        self.honest = false;
        let (size, packed) = (self.setup.size, self.setup.kind.is_packed());
        let areas = [self.config.descriptor_area.0, self.config.driver_area.0, self.config.device_area.0];
        match corruption {
            Corruption::Byte { area, at, value } => self.mem.poke(areas[area] + at.index(64) as u64, &[value]),
            Corruption::Descriptor { at, addr, len, last } => {
                // The upper half of memory is left to tables.
                let slot = at.index(usize::from(size) + 16) as u64;
                let place = slot.checked_sub(size.into());
                let to = place.map_or(areas[0] + 16 * slot, |entry| BASE + LEN as u64 / 2 + 16 * entry);
                self.mem.poke(to, &addr.to_le_bytes());
                self.mem.poke(to + 8, &len.to_le_bytes());
                self.mem.poke(to + 12, &(if packed { last.rotate_left(16) } else { last }).to_le_bytes());
            }
            Corruption::Index(value) if packed => self.mem.poke(areas[1], &value.to_le_bytes()),
            Corruption::Index(value) => self.mem.poke(areas[1] + 2, &value.to_le_bytes()),
            Corruption::Offer { head, flags } if packed => {
                let next = self.driver().available_position();
                let lap = if next >> 15 == 1 { 1 << 7 } else { 1 << 15 };
                let to = areas[0] + 16 * u64::from(next & 0x7fff) + 12;
                self.mem.poke(to, &(u32::from(head) | u32::from(flags | lap) << 16).to_le_bytes());
            }
            Corruption::Offer { head, .. } => {
                let bytes = self.mem.snapshot();
                let at = (areas[1] + 2 - BASE) as usize;
                let index = u16::from_le_bytes([bytes[at], bytes[at + 1]]);
                self.mem.poke(areas[1] + 4 + 2 * u64::from(index % size), &head.to_le_bytes());
                self.mem.poke(areas[1] + 2, &index.wrapping_add(1).to_le_bytes());
            }
        }
    }

    /// Both sides begin anew. The device touches nothing, and tells nobody.
    fn reset(&mut self) {
        let work = self.mem.work();
        let broken = self.queue().is_broken();
        let mut resetting = self.queue.take().unwrap().reset();
        for held in self.held.drain(..) {
            let number = held.token.into_u64();
            let discarded = resetting.discard(Token::from_u64(number));
            assert!(discarded.is_ok() || broken || !self.honest, "{discarded:?}");
            self.stale.push(number);
        }
        assert_eq!((self.mem.work(), self.notifications.take()), (work, 0), "a queue that is being reset is silent");
        // A new ring: a recorder knows nothing of the reset.
        let _ = resetting.finish();
        let ring = R::make(&self.config, Rc::clone(&self.mem));
        self.driver = self.driver.take().map(|driver| driver.reset(self.setup.size));
        self.queue = Some(Queue::from_ring(ring, Arc::clone(&self.notifications)).unwrap());
        (self.model, self.honest, self.reported) = (Model::new(), true, false);
    }
}

/// Returns a chain with elements of these lengths, or as many of them as a driver may use.
fn chain(shape: &Shape, size: usize) -> DriverChain {
    let readable = shape.readable.iter().take(size);
    let writable = shape.writable.iter().take(size - readable.len());
    let count = readable.len() + writable.len();
    let mut chain = readable.fold(DriverChain::new(), |chain, len| chain.readable(vec![*len; usize::from(*len)]));
    chain = writable.fold(chain, |chain, len| chain.writable((*len).into()));
    if count == 0 {
        chain = chain.writable(1);
    }
    if shape.indirect { chain.indirect() } else { chain }
}
