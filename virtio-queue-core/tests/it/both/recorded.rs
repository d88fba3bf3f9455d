//! What a recorder is told, and in which order; a process that goes on from what was recorded.

use core::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::features::EVENT_IDX;
use virtio_fake_driver::{DriverChain, Fixture, MemEvent, Packed, QueueFormat, Split, TestMem};
use virtio_queue_core::{
    Armed, ChainElements, FromConfig, Head, InOrderRing, OrderSlot, Queue, QueueLimits, Record, RecordedRing, Recorder,
    Restorable, SavedQueue,
};
use virtio_ring::packed::Descriptor;
use virtio_util::NotificationCounter;

use crate::support::{fetch, serve_chains, start};

/// What happened, to the recorder and to the used part of the ring.
#[derive(Clone, Debug, PartialEq)]
enum Event {
    Fetched(u16, usize),
    Unfetched(u16),
    Completed(u16),
    Publishing(u16),
    Published(u16),
    /// The device made used buffers visible.
    Visible,
}

#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<Event>>>);

impl Log {
    fn push(&self, event: Event) {
        self.0.borrow_mut().push(event);
    }

    fn take(&self) -> Vec<Event> {
        self.0.take()
    }
}

impl Recorder for Log {
    fn fetched(&mut self, head: Head, descriptors: impl Iterator<Item = Descriptor>) {
        self.push(Event::Fetched(head.id(), descriptors.count()));
    }

    fn unfetched(&mut self, head: Head) {
        self.push(Event::Unfetched(head.id()));
    }

    fn completed(&mut self, head: Head) {
        self.push(Event::Completed(head.id()));
    }

    fn publishing(&mut self, next_used: u16) {
        self.push(Event::Publishing(next_used));
    }

    fn published(&mut self, next_used: u16) {
        self.push(Event::Published(next_used));
    }
}

type Mem = Rc<TestMem>;
type Recorded<F> = Queue<RecordedRing<<F as QueueFormat>::Ring<Mem>, Log>, Arc<NotificationCounter>>;

/// A queue of 8 whose chains are recorded, next to the fixture's own.
fn recorded<F: QueueFormat<Ring<Mem>: Record>>(fixture: &Fixture<F>) -> (Recorded<F>, Log) {
    let config = fixture.driver.queue_config(QueueLimits::default());
    let log = Log::default();
    let ring = FromConfig::from_config(&config, Rc::clone(&fixture.mem)).unwrap();
    let queue = Queue::from_ring(RecordedRing::new(ring, log.clone()), fixture.notifications.clone()).unwrap();
    (queue, log)
}

/// A burst of three, one of them put back and fetched again, returned out of order.
fn check_order<F: QueueFormat<Ring<Mem>: Record>>(features: u64, visible: impl Fn(&Fixture<F>) -> u64, packed: bool) {
    let mut fixture = start::<F>(8, features);
    let (mut queue, log) = recorded(&fixture);
    let chain = DriverChain::new().readable(b"?").writable_cut(2, &[1]);
    let ids = [(); 2].map(|()| fixture.driver.add(&chain).unwrap());
    let (start, seen) = (visible(&fixture), log.clone());
    fixture.mem.on_event(move |_, event| match event {
        MemEvent::Written(range) if range.start().0 == start => seen.push(Event::Visible),
        _ => {}
    });
    let slots = if packed { 3 } else { 0 };
    let mut burst = queue.burst();
    let first = burst.next_chain().unwrap().unwrap().into_token();
    burst.next_chain().unwrap().unwrap().unfetch().unwrap();
    let second = burst.next_chain().unwrap().unwrap().into_token();
    let [a, b] = ids;
    assert_eq!(
        log.take(),
        [Event::Fetched(a, slots), Event::Fetched(b, slots), Event::Unfetched(b), Event::Fetched(b, slots)]
    );
    burst.complete(second, 0).unwrap();
    burst.complete(first, 0).unwrap();
    assert_eq!(log.take(), [Event::Completed(b), Event::Completed(a)]);
    burst.finish().unwrap();
    let next_used = if packed { 0x8006 } else { 2 };
    assert_eq!(log.take(), [Event::Publishing(next_used), Event::Visible, Event::Published(next_used)]);
    assert_eq!(fixture.driver.reap_all().unwrap().len(), 2);
    // A chain that is dropped, or served, is told of as well.
    let id = fixture.driver.add(&chain).unwrap();
    drop(queue.next_chain().unwrap());
    assert_eq!(log.take()[..2], [Event::Fetched(id, slots), Event::Completed(id)]);
    fixture.driver.reap_all().unwrap();
    let id = fixture.driver.add(&chain).unwrap();
    assert_eq!(serve_chains(&mut queue, 8, |_| 0).unwrap(), 1);
    assert_eq!(log.take()[..2], [Event::Fetched(id, slots), Event::Completed(id)]);
}

/// RECORD-1
#[test]
fn recorder_is_called_in_order() {
    for features in [0, EVENT_IDX] {
        check_order::<Split>(features, |fixture| fixture.driver.areas().used_index().start().0, false);
        check_order::<Packed>(features, |fixture| fixture.driver.areas().descriptor(0).start().0 + 8, true);
    }
}

/// Keeps what it was told.
#[derive(Clone, Default)]
struct Store(Rc<RefCell<Vec<Stored>>>);

type Stored = (Head, Vec<Descriptor>);

impl Recorder for Store {
    fn fetched(&mut self, head: Head, descriptors: impl Iterator<Item = Descriptor>) {
        self.0.borrow_mut().push((head, descriptors.collect()));
    }

    fn unfetched(&mut self, head: Head) {
        self.completed(head);
    }

    fn completed(&mut self, head: Head) {
        self.0.borrow_mut().retain(|(other, _)| *other != head);
    }

    fn publishing(&mut self, _next_used: u16) {}
    fn published(&mut self, _next_used: u16) {}
}

/// A process dies with chains in flight, after others were returned out of order. The next one finds them, with their
/// elements.
fn check_goes_on<F: QueueFormat<Ring<Mem>: Record>>() {
    let mut fixture = start::<F>(16, 0);
    let config = fixture.driver.queue_config(QueueLimits::default());
    let ring = || <F::Ring<Mem> as FromConfig>::from_config(&config, Rc::clone(&fixture.mem)).unwrap();
    let store = Store::default();
    let mut queue = Queue::from_ring(RecordedRing::new(ring(), store.clone()), NotificationCounter::new()).unwrap();
    let chain = |len: u32| DriverChain::new().readable([9; 3]).writable_cut(len, &[1]);
    let ids = [4, 5, 6].map(|len| fixture.driver.add(&chain(len)).unwrap());
    let mut elements = Vec::new();
    let mut tokens = Vec::new();
    for _ in ids {
        let chain = queue.next_chain().unwrap().unwrap();
        elements.push(chain.walk().map(Result::unwrap).collect::<Vec<_>>());
        tokens.push(chain.into_token());
    }
    // In a packed ring, this is written over the descriptors of the first one.
    queue.complete(tokens.pop().unwrap(), 6).unwrap();
    let saved: SavedQueue = queue.save();
    drop(queue);

    let found = store.0.take();
    assert_eq!(found.iter().map(|(head, _)| head.id()).collect::<Vec<_>>(), ids[..2]);
    let wrapped = InOrderRing::<_, Vec<OrderSlot>>::new(RecordedRing::new(ring(), store.clone()), true).unwrap();
    let (ring, mut queue) = (ring(), Queue::restore(ring(), NotificationCounter::new(), &saved).unwrap().0);
    for (at, (head, stored)) in found.iter().enumerate().rev() {
        let walked: Vec<_> = ring.walk_stored(*head, stored).map(Result::unwrap).collect();
        assert_eq!(walked, elements[at]);
        assert!(wrapped.walk_stored(*head, stored).map(Result::unwrap).eq(walked));
        let token = queue.adopt(*head).unwrap();
        queue.complete(token, 4 + at as u32).unwrap();
    }
    let used: Vec<_> = fixture.driver.reap_all().unwrap().iter().map(|used| (used.id, used.len)).collect();
    assert_eq!(used, [(ids[2], 6), (ids[1], 5), (ids[0], 4)]);
    // It goes on with what comes then.
    let id = fixture.driver.add(&chain(7)).unwrap();
    let token = fetch(&mut queue);
    assert_eq!(token.id(), id);
    queue.complete(token, 7).unwrap();
    assert_eq!((queue.in_flight(), fixture.driver.reap_all().unwrap().len()), (0, 1));
}

/// RECORD-2
#[test]
fn next_process_goes_on_with_what_was_recorded() {
    check_goes_on::<Split>();
    check_goes_on::<Packed>();
}

/// RECORD-2, HOST-30: what was recorded is hostile: the rules for lists hold for stored descriptors too.
#[test]
fn stored_descriptors_are_checked() {
    use virtio_mem_traits::DriverAddr;
    use virtio_queue_core::ChainErrorKind;
    use virtio_ring::packed::{BufferId, DescriptorFlags};

    let fixture = start::<Packed>(4, virtio_fake_driver::features::INDIRECT_DESC);
    let config = fixture.driver.queue_config(QueueLimits::default());
    let ring = virtio_queue_core::packed::PackedRing::from_config(&config, fixture.mem.clone()).unwrap();
    let descriptor =
        |addr: u64, len: u32, flags: u16| Descriptor::new(DriverAddr(addr), len, BufferId(3), DescriptorFlags(flags));
    let check = |stored: &[Descriptor], good: usize, kind: ChainErrorKind| {
        let head = Head::new(3, 0, u16::try_from(stored.len()).unwrap());
        let walked: Vec<_> = ring.walk_stored(head, stored).collect();
        assert_eq!(walked.len(), good + 1, "{stored:?}");
        assert!(walked[..good].iter().all(Result::is_ok), "{stored:?}");
        let error = walked[good].unwrap_err();
        assert_eq!((error.id, error.kind), (3, kind), "{stored:?}");
    };
    let (read, write, indirect) = (0, 2, 4);
    let one = descriptor(0x1000_8000, 1, read);
    check(&[one; 5], 4, ChainErrorKind::TooManyElements { limit: 4 });
    let after = ChainErrorKind::ReadableAfterWritable { addr: DriverAddr(0x1000_8000) };
    check(&[descriptor(0x1000_8000, 1, write), one], 1, after);
    let beyond = ChainErrorKind::RangeOverflow { addr: DriverAddr(u64::MAX), len: 2 };
    check(&[one, descriptor(u64::MAX, 2, read)], 1, beyond);
    check(&[one, descriptor(0x1000_8000, 16, indirect)], 1, ChainErrorKind::IndirectWithNext);
    check(&[descriptor(0x1000_8000, 17, indirect)], 0, ChainErrorKind::TableLen { len: 17 });
    // An indirect table is where it was: its elements are read there.
    let table = descriptor(0x1000_8000, 32, indirect);
    fixture.driver.raw().view().poke(DriverAddr(0x1000_8000), &[0; 32]);
    fixture.driver.raw().view().poke(DriverAddr(0x1000_8008), &[7]);
    let walked: Vec<_> = ring.walk_stored(Head::new(3, 0, 1), &[table]).map(Result::unwrap).collect();
    assert_eq!(walked.iter().map(|element| element.range.len()).collect::<Vec<_>>(), [7]);
}

/// A recorded chain is a chain like any other, step by step as well.
#[test]
fn recorded_chain_is_walked_place_by_place() {
    let mut fixture = start::<Split>(8, 0);
    let (mut queue, _log) = recorded(&fixture);
    fixture.driver.add(&DriverChain::new().readable(b"ab").writable_cut(5, &[2])).unwrap();
    let chain = queue.next_chain().unwrap().unwrap();
    let mut place = chain.start();
    let mut lens = Vec::new();
    while let Some(element) = chain.next_element(&mut place) {
        lens.push(element.unwrap().range.len());
    }
    assert_eq!(lens, [2, 2, 3]);
}

/// Has chains of an earlier process, by their heads.
#[derive(Clone, Default)]
struct Earlier {
    log: Log,
    left: Rc<RefCell<Vec<u16>>>,
    again: Rc<RefCell<Vec<u16>>>,
}

impl Recorder for Earlier {
    fn fetched(&mut self, head: Head, descriptors: impl Iterator<Item = Descriptor>) {
        self.log.fetched(head, descriptors);
    }

    fn unfetched(&mut self, head: Head) {
        self.log.unfetched(head);
    }

    fn completed(&mut self, head: Head) {
        self.again.borrow_mut().retain(|again| *again != head.id());
        self.log.completed(head);
    }

    fn publishing(&mut self, _next_used: u16) {}
    fn published(&mut self, _next_used: u16) {}

    fn fetch_again(&mut self) -> Option<Head> {
        let id = self.left.borrow_mut().pop()?;
        self.again.borrow_mut().push(id);
        Some(Head::new(id, 0, 1))
    }

    fn unfetch_again(&mut self, head: Head) -> bool {
        let is_again = self.again.borrow().contains(&head.id());
        if is_again {
            self.again.borrow_mut().retain(|again| *again != head.id());
            self.left.borrow_mut().push(head.id());
        }
        is_again
    }

    fn left_to_fetch_again(&self) -> u16 {
        self.left.borrow().len() as u16
    }
}

/// A process has fetched three of four chains, and returned the second. The next one begins with the others.
fn check_fetched_again<F: QueueFormat<Ring<Mem>: Record>>(features: u64, stored: usize) {
    let mut fixture = start::<F>(8, features);
    let config = fixture.driver.queue_config(QueueLimits::default());
    let ring = || <F::Ring<Mem> as FromConfig>::from_config(&config, Rc::clone(&fixture.mem)).unwrap();
    let ids = [(); 4].map(|()| fixture.driver.add(&DriverChain::new().writable(1)).unwrap());
    let mut first = Queue::from_ring(ring(), NotificationCounter::new()).unwrap();
    let mut tokens = [(); 3].map(|()| Some(fetch(&mut first)));
    first.complete(tokens[1].take().unwrap(), 0).unwrap();
    let saved = first.save();
    drop(first);
    assert_eq!(fixture.driver.reap_all().unwrap().len(), 1);

    let recorder = Earlier { left: Rc::new(RefCell::new(vec![ids[2], ids[0]])), ..Earlier::default() };
    let log = recorder.log.clone();
    let again = RecordedRing::new(ring(), recorder.clone());
    let (mut queue, armed) = Queue::restore(again, NotificationCounter::new(), &saved).unwrap();
    assert_eq!(armed, Armed::MoreAvailable, "chains of before, and one after them");
    let [a, c, d] = [(); 3].map(|()| queue.next_chain().unwrap().unwrap().into_token());
    assert_eq!([a.id(), c.id(), d.id()], [ids[0], ids[2], ids[3]]);
    // Those of before are recorded already.
    assert_eq!((log.take(), queue.size()), (vec![Event::Fetched(ids[3], stored)], 8));
    assert_eq!(queue.enable_notifications().unwrap(), Armed::Waiting);
    // All are put back, and are fetched in the same order.
    queue.unfetch(d).unwrap();
    queue.unfetch(c).unwrap();
    queue.unfetch(a).unwrap();
    assert_eq!((log.take(), queue.in_flight()), (vec![Event::Unfetched(ids[3])], 0));
    assert_eq!(queue.enable_notifications_of_more().unwrap(), Armed::Waiting);
    let late = fixture.driver.add(&DriverChain::new().writable(1)).unwrap();
    assert!(fixture.driver.needs_kick(), "the driver notifies of the next one");
    assert_eq!(queue.enable_notifications().unwrap(), Armed::MoreAvailable);
    let mut fetched = Vec::new();
    let mut burst = queue.burst();
    while let Some(chain) = burst.next_chain().unwrap() {
        fetched.push(chain.into_token());
    }
    assert_eq!(fetched.iter().map(|token| token.id()).collect::<Vec<_>>(), [ids[0], ids[2], ids[3], late]);
    for token in fetched {
        burst.complete(token, 0).unwrap();
    }
    burst.finish().unwrap();
    assert_eq!((fixture.driver.reap_all().unwrap().len(), queue.in_flight()), (4, 0));
}

/// RECORD-3, BACK-1
#[test]
fn chains_of_an_earlier_process_are_fetched_first() {
    for features in [0, EVENT_IDX] {
        check_fetched_again::<Split>(features, 0);
        check_fetched_again::<Packed>(features, 1);
    }
}

/// RECORD-3: what a recorder makes up is left out.
#[test]
fn chain_that_cannot_be_in_flight_is_not_fetched_again() {
    let mut fixture = start::<Split>(8, 0);
    let config = fixture.driver.queue_config(QueueLimits::default());
    let ring = virtio_queue_core::split::SplitRing::from_config(&config, Rc::clone(&fixture.mem)).unwrap();
    let recorder = Earlier { left: Rc::new(RefCell::new(vec![8, 3, 7])), ..Earlier::default() };
    let id = fixture.driver.add(&DriverChain::new().writable(1)).unwrap();
    let mut queue = Queue::from_ring(RecordedRing::new(ring, recorder), NotificationCounter::new()).unwrap();
    assert_eq!(fetch(&mut queue).id(), id);
}
