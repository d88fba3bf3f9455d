//! A queue of a network device, its driver, and a port that does what the test says.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use virtio_examples::net::{
    Count, Counter, Counters, Lost, MAX_PACKET, NetDevice, NetHeader, Offloads, Port, RECEIVE, Settings, TRANSMIT,
    feature,
};
use virtio_examples::{Serve, Turn};
use virtio_fake_driver::split::{Descriptor, RawSplit};
use virtio_fake_driver::{AnyDriver, AnyFixtureOptions, AnyRaw, DriverChain, Fixture, TestMem, UsedBuffer, features};
use virtio_queue_core::{AnyRing, FatalError, QueueState};
use virtio_util::NotificationCounter;
use zerocopy::{FromBytes, IntoBytes};

/// What rings are tried with.
pub(crate) const FORMATS: [u64; 4] =
    [0, features::EVENT_IDX, features::RING_PACKED, features::RING_PACKED | features::EVENT_IDX];

pub(crate) const MERGEABLE: u64 = feature::MRG_RXBUF;

/// The features of network devices, which come before all others.
const DEVICE_FEATURES: u64 = (1 << 24) - 1;

/// A device with one of its queues.
pub(crate) struct Nic<P = TestPort> {
    pub(crate) device: NetDevice<P>,
    pub(crate) driver: AnyDriver,
    pub(crate) mem: Rc<TestMem>,
    pub(crate) notifications: Arc<NotificationCounter>,
    pub(crate) settings: Arc<Settings>,
    counters: Arc<Counters>,
    ring: AnyRing<Rc<TestMem>>,
    state: QueueState<AnyRing<Rc<TestMem>>, Arc<NotificationCounter>>,
}

/// A queue of 256 descriptors on `port`.
pub(crate) fn nic<P: Port>(port: P, features: u64) -> Nic<P> {
    let rings = features::INDIRECT_DESC | features & !DEVICE_FEATURES;
    let options = AnyFixtureOptions { features: rings, memory_len: 4 << 20, ..AnyFixtureOptions::default() };
    let Fixture { queue, driver, mem, notifications } = options.build().unwrap();
    let (settings, counters) = (Arc::new(Settings::new(None)), Arc::new(Counters::default()));
    let (ring, state) = queue.into_parts();
    let device = NetDevice::new(port, features, Arc::clone(&settings), Arc::clone(&counters));
    Nic { device, driver, mem, notifications, settings, counters, ring, state }
}

impl<P: Port> Nic<P> {
    pub(crate) fn try_serve(&mut self, index: usize, budget: usize) -> Result<Turn, FatalError> {
        self.device.serve_queue(index, &self.ring, &mut self.state, budget)
    }

    /// Gives the transmit queue its turn.
    pub(crate) fn transmit(&mut self, budget: usize) -> Turn {
        self.try_serve(TRANSMIT, budget).unwrap()
    }

    /// Gives the receive queue its turn.
    pub(crate) fn receive(&mut self, budget: usize) -> Turn {
        self.try_serve(RECEIVE, budget).unwrap()
    }

    pub(crate) fn release(&mut self) {
        self.device.release(RECEIVE, &self.ring, &mut self.state);
        self.state.publish(&self.ring).unwrap();
    }

    pub(crate) fn in_flight(&self) -> u16 {
        self.state.in_flight()
    }

    pub(crate) fn reap(&mut self) -> Vec<UsedBuffer> {
        self.driver.reap_all().unwrap()
    }

    pub(crate) fn add(&mut self, chain: &DriverChain) -> u16 {
        self.driver.add(chain).unwrap()
    }

    /// Returns a split queue as bytes.
    pub(crate) fn raw(&self) -> RawSplit {
        match self.driver.raw() {
            AnyRaw::Split(raw) => raw.clone(),
            AnyRaw::Packed(_) => panic!("it is a packed queue"),
        }
    }

    /// Lets the first chain of a split queue lead nowhere after its first element.
    pub(crate) fn cut_first_chain(&mut self) {
        let raw = self.raw();
        raw.set_descriptor(0, Descriptor { next: 5000, ..raw.descriptor(0) });
    }

    /// Returns how many packets for segmentation were transmitted and received.
    pub(crate) fn large(&self) -> (u64, u64) {
        (self.counters.transmitted.get().large, self.counters.received.get().large)
    }

    #[track_caller]
    pub(crate) fn check_transmitted(&self, packets: u64, bytes: u64, errors: u64) {
        check_counter(&self.counters.transmitted, packets, bytes, errors);
    }

    #[track_caller]
    pub(crate) fn check_received(&self, packets: u64, bytes: u64, errors: u64) {
        check_counter(&self.counters.received, packets, bytes, errors);
    }
}

#[track_caller]
fn check_counter(counter: &Counter, packets: u64, bytes: u64, errors: u64) {
    assert_eq!(Count { large: 0, ..counter.get() }, Count { packets, bytes, errors, large: 0 });
}

/// A port that remembers what it takes, and has what it is given.
pub(crate) struct TestPort {
    room: Vec<u8>,
    /// How many packets it still takes.
    takes: usize,
    pub(crate) taken: Vec<Vec<u8>>,
    /// The headers of the frames that it took.
    pub(crate) headers: Vec<NetHeader>,
    has: VecDeque<Vec<u8>>,
}

impl TestPort {
    pub(crate) fn new() -> Self {
        Self::taking(usize::MAX)
    }

    /// Returns one that has room for so many packets.
    pub(crate) fn taking(takes: usize) -> Self {
        let (taken, headers, has) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { room: vec![0xee; MAX_PACKET], takes, taken, headers, has }
    }

    /// Returns one that has these frames.
    pub(crate) fn with(frames: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self::with_packets(frames.into_iter().map(|frame| (NetHeader::received(1), frame)))
    }

    /// Returns one that has these frames with these headers.
    pub(crate) fn with_packets(packets: impl IntoIterator<Item = (NetHeader, Vec<u8>)>) -> Self {
        let has = packets.into_iter().map(|(header, frame)| [header.as_bytes(), &frame].concat()).collect();
        Self { has, ..Self::new() }
    }
}

impl Port for TestPort {
    fn accept(&mut self, _offloads: Offloads) {}

    fn capacity(&self) -> usize {
        self.takes - self.taken.len()
    }

    fn room(&mut self) -> &mut [u8] {
        assert!(self.capacity() > 0);
        &mut self.room
    }

    fn transmit(&mut self, len: usize) -> Result<(), Lost> {
        self.headers.push(NetHeader::read_from_prefix(&self.room).unwrap().0);
        self.taken.push(self.room[12..len].to_vec());
        Ok(())
    }

    fn packets(&mut self) -> usize {
        self.has.len()
    }

    fn packet(&mut self) -> &mut [u8] {
        self.has.front_mut().map(Vec::as_mut_slice).unwrap_or_default()
    }

    fn done(&mut self) {
        self.has.pop_front().unwrap();
    }
}

/// Returns a packet as a driver makes it.
pub(crate) fn packet(frame: &[u8]) -> Vec<u8> {
    [NetHeader::default().as_bytes(), frame].concat()
}

/// Returns bytes that tell their place.
pub(crate) fn frame(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|place| (place * 7 + seed * 31 + place / 256) as u8).collect()
}

/// Returns how many buffers a received packet says to take, if nothing else is in its header, and the frame.
#[track_caller]
pub(crate) fn received(buffers: &[UsedBuffer]) -> (u16, Vec<u8>) {
    let bytes: Vec<u8> = buffers.iter().flat_map(|used| used.written().iter().copied()).collect();
    let (header, frame) = NetHeader::read_from_prefix(&bytes).unwrap();
    assert_eq!(header, NetHeader::received(header.num_buffers.get()));
    (header.num_buffers.get(), frame.to_vec())
}
