//! The same traffic on rust-vmm's virtio-queue and on ours.
//!
//! Two memories hold the same rings. One driver writes to both, and one device does the same with both queues. What is
//! compared: each chain, each decision to notify, what is found when notifications are enabled, and the used rings.
//!
//! What differs by design is left out. virtio-queue does not honour NO_INTERRUPT, so decisions are compared with
//! EVENT_IDX alone. Our queue asks for the next notification by itself when a fetch finds nothing, so `avail_event` is
//! compared where both queues were told to ask. Elements without bytes are not elements for our queue.

use std::sync::Arc;

use virtio_fake_driver::features::{EVENT_IDX, INDIRECT_DESC};
use virtio_fake_driver::{DriverChain, DriverOptions, SplitDriver};
use virtio_mem_traits::{DriverAddr, DriverRange, HeapMem};
use virtio_queue::{Queue, QueueT};
use virtio_queue_core::{Armed, QueueLimits, SplitQueue, Token};
use virtio_util::NotificationCounter;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::input::Input;

/// Where the memory begins, and its length.
const BASE: u64 = 0x1_0000;
const LEN: usize = 0x4000;

/// The part of it that is for rings and tables. One buffer is behind it, for all.
const RINGS: u64 = 0x3000;

/// An element of a chain: address, length, whether it is writable.
type Element = (u64, u64, bool);

/// Runs the traffic that the input says, and returns how many chains there were.
///
/// # Panics
///
/// If the two queues differ.
pub fn run(input: &[u8]) -> usize {
    let mut input = Input::new(input);
    let event_idx = input.flag();
    let mut pair = Pair::new(event_idx, 1 << (input.u8() % 6), input.u16());
    let mut chains = 0;
    while !input.is_empty() {
        match input.u8() % 12 {
            0..4 => pair.add(&mut input),
            4..7 => chains += usize::from(pair.fetch()),
            7 => pair.complete(&mut input),
            8 => pair.complete_burst(&mut input),
            9 => pair.enable(),
            10 => pair.suppress(),
            _ => pair.interrupts(&mut input),
        }
        pair.compare_used();
    }
    chains
}

/// Both queues.
struct Pair {
    driver: SplitDriver,
    ours: SplitQueue<Arc<HeapMem>, Arc<NotificationCounter>>,
    theirs: Queue,
    guest: GuestMemoryMmap,
    notifications: Arc<NotificationCounter>,
    event_idx: bool,
    /// The chains in flight, by what either queue calls them.
    held: Vec<(Token, u16)>,
}

impl Pair {
    fn new(event_idx: bool, size: u16, start: u16) -> Self {
        let heap = Arc::new(HeapMem::new(DriverAddr(BASE), LEN).unwrap());
        let range = DriverRange::new(DriverAddr(BASE), RINGS).unwrap();
        let features = INDIRECT_DESC | if event_idx { EVENT_IDX } else { 0 };
        let options = DriverOptions { features, start: Some(start), scramble: Some(start.into()) };
        let driver = SplitDriver::within(Arc::clone(&heap), range, size, options);
        let config = driver.queue_config(QueueLimits::default());
        let notifications = Arc::new(NotificationCounter::new());
        let saved = virtio_queue_core::SavedQueue::at(start, start, config.features);
        let ring = virtio_queue_core::FromConfig::from_config(&config, heap).unwrap();
        let (ours, _) = SplitQueue::restore(ring, Arc::clone(&notifications), &saved).unwrap();
        // Whoever takes a queue over tells the driver to look.
        let _ = notifications.take();
        let guest = GuestMemoryMmap::from_ranges(&[(GuestAddress(BASE), LEN)]).unwrap();
        let mut theirs = Queue::new(size).unwrap();
        let areas = driver.area_addresses().map(|addr| Some(u32::try_from(addr.0).unwrap()));
        theirs.set_desc_table_address(areas[0], Some(0));
        theirs.set_avail_ring_address(areas[1], Some(0));
        theirs.set_used_ring_address(areas[2], Some(0));
        theirs.set_event_idx(event_idx);
        theirs.set_next_avail(start);
        theirs.set_next_used(start);
        theirs.set_ready(true);
        let mut pair = Self { driver, ours, theirs, guest, notifications, event_idx, held: Vec::new() };
        pair.copy_all();
        assert!(pair.theirs.is_valid(&pair.guest));
        pair.enable();
        pair
    }

    /// Lets the other queue's memory hold what ours does.
    fn copy_all(&self) {
        let bytes = self.driver.view().peek(DriverAddr(BASE), LEN);
        self.guest.write_slice(&bytes, GuestAddress(BASE)).unwrap();
    }

    /// Writes what the driver has written to the other queue's memory as well: all but the used ring.
    fn copy_driver(&self) {
        let used = self.driver.areas().used_ring();
        let end = used.after(used.len()).start().0;
        for (start, end) in [(BASE, used.start().0), (end, BASE + RINGS)] {
            let bytes = self.driver.view().peek(DriverAddr(start), (end - start) as usize);
            self.guest.write_slice(&bytes, GuestAddress(start)).unwrap();
        }
    }

    /// Makes some chains available.
    fn add(&mut self, input: &mut Input<'_>) {
        self.driver.reap_all().expect("both queues keep to the rules");
        for _ in 0..input.u8() % 4 + 1 {
            let mut chain = DriverChain::new();
            let (readable, writable) = (input.u8() % 5, input.u8() % 5);
            for index in 0..readable + writable {
                let len = input.u8() % 32;
                let part =
                    if index < readable { chain.readable(vec![1; len.into()]) } else { chain.writable(len.into()) };
                chain = part.at(DriverAddr(BASE + RINGS + u64::from(input.u8())));
            }
            let chain = if input.flag() { chain.indirect_after(usize::from(input.u8() % 4)) } else { chain };
            if chain.elements() != 0 && chain.elements() <= self.driver.size().into() {
                let _ = self.driver.stage(&chain);
            }
        }
        self.driver.publish();
        self.copy_driver();
    }

    /// Fetches the next chain from both, and returns whether there is one.
    fn fetch(&mut self) -> bool {
        let (ours, theirs) = (self.ours.next_chain().unwrap(), self.theirs.pop_descriptor_chain(&self.guest));
        assert_eq!(ours.is_some(), theirs.is_some(), "one queue has a chain, and the other has none");
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return false };
        let head = theirs.head_index();
        assert_eq!(ours.id(), head);
        let theirs = theirs.map(|element| (element.addr().0, u64::from(element.len()), element.is_write_only()));
        let theirs: Vec<Element> = theirs.filter(|(_, len, _)| *len != 0).collect();
        let elements = ours.walk().map(Result::unwrap);
        let elements: Vec<Element> = elements.map(|e| (e.range.start().0, e.range.len(), e.access.writes())).collect();
        assert_eq!(elements, theirs);
        self.held.push((ours.into_token(), head));
        true
    }

    fn take(&mut self, input: &mut Input<'_>) -> Option<(Token, u16)> {
        let count = self.held.len();
        (count != 0).then(|| self.held.swap_remove(input.below(count)))
    }

    /// Returns a chain to both.
    fn complete(&mut self, input: &mut Input<'_>) {
        let Some((token, head)) = self.take(input) else { return };
        self.ours.complete(token, 0).unwrap();
        self.theirs.add_used(&self.guest, head, 0).unwrap();
        self.compare_decisions();
    }

    /// Returns several, with one decision.
    fn complete_burst(&mut self, input: &mut Input<'_>) {
        let chains: Vec<_> = (0..input.u8() % 8).map_while(|_| self.take(input)).collect();
        if chains.is_empty() {
            return;
        }
        let mut burst = self.ours.burst();
        for (token, head) in chains {
            burst.complete(token, 0).unwrap();
            self.theirs.add_used(&self.guest, head, 0).unwrap();
        }
        burst.finish().unwrap();
        self.compare_decisions();
    }

    fn compare_decisions(&mut self) {
        let (ours, theirs) = (self.notifications.take() != 0, self.theirs.needs_notification(&self.guest).unwrap());
        let (event, used) = (self.driver.raw().used_event(), self.theirs.next_used());
        let agreed = ours == theirs || !self.event_idx;
        assert!(agreed, "ours notifies: {ours}; theirs: {theirs}; used index {used}, used_event {event}");
    }

    fn enable(&mut self) {
        let ours = self.ours.enable_notifications().unwrap() == Armed::MoreAvailable;
        assert_eq!(ours, self.theirs.enable_notification(&self.guest).unwrap());
        assert_eq!(self.device_area(), self.their_device_area());
    }

    fn suppress(&mut self) {
        self.ours.suppress_notifications();
        self.theirs.disable_notification(&self.guest).unwrap();
    }

    fn interrupts(&mut self, input: &mut Input<'_>) {
        match input.u8() % 3 {
            0 => self.driver.disable_interrupts(),
            1 => _ = self.driver.enable_interrupts(),
            _ => _ = self.driver.enable_interrupts_after(u16::from(input.u8()) % self.driver.size()),
        }
        self.copy_driver();
    }

    /// Compares the used rings but for `avail_event`.
    fn compare_used(&self) {
        let (ours, theirs) = (self.device_area(), self.their_device_area());
        let ring = ours.len() - 2;
        assert_eq!(ours[..ring], theirs[..ring], "the used rings");
    }

    fn device_area(&self) -> Vec<u8> {
        let used = self.driver.areas().used_ring();
        self.driver.view().peek(used.start(), used.len() as usize)
    }

    fn their_device_area(&self) -> Vec<u8> {
        let used = self.driver.areas().used_ring();
        let mut bytes = vec![0; used.len() as usize];
        self.guest.read_slice(&mut bytes, GuestAddress(used.start().0)).unwrap();
        bytes
    }
}
