//! A front end, its memory, and drivers in it.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use adapter_test_support::{LEN, PATIENCE, REGIONS, Signals, event, shared_file};
use tempfile::TempDir;
use vhost::vhost_user::message::{VhostUserHeaderFlag, VhostUserProtocolFeatures};
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use virtio_fake_driver::features::VERSION_1;
use virtio_fake_driver::{AnyDriver, DriverOptions};
use virtio_mem_traits::{DriverAddr, DriverRange};
use virtio_vhost_user::{BackEnd, Options, VhostUserDevice};
use virtio_vm_memory::VmMemory;
use vm_memory::{FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

pub(crate) type Driver = AnyDriver<VmMemory<Arc<GuestMemoryMmap>>>;

/// The feature bit with which a front end negotiates protocol features.
pub(crate) const PROTOCOL_FEATURES: u64 = 1 << 30;

/// A back end that runs in this process, until it is dropped.
pub(crate) struct Running<D: VhostUserDevice + 'static> {
    back_end: Arc<BackEnd<D>>,
    thread: Option<JoinHandle<()>>,
    folder: TempDir,
}

impl<D: VhostUserDevice + 'static> Running<D> {
    pub(crate) fn new(device: D) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let back_end = Arc::new(BackEnd::new(Options::at(folder.path().join("socket")), device).unwrap());
        let served = Arc::clone(&back_end);
        let thread = Some(thread::spawn(move || served.serve().unwrap()));
        Self { back_end, thread, folder }
    }

    pub(crate) fn connect(&self) -> UnixStream {
        UnixStream::connect(self.folder.path().join("socket")).unwrap()
    }

    /// Checks that the next front end is served.
    #[track_caller]
    pub(crate) fn check_serves(&self) {
        let next = FrontEnd::on(self.connect());
        next.connection.get_features().unwrap();
    }
}

impl<D: VhostUserDevice + 'static> Drop for Running<D> {
    fn drop(&mut self) {
        self.back_end.stop();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

pub(crate) struct FrontEnd {
    pub(crate) connection: Frontend,
    pub(crate) memory: Arc<GuestMemoryMmap>,
    features: u64,
}

impl FrontEnd {
    /// Begins on a connection, and says nothing.
    pub(crate) fn on(connection: UnixStream) -> Self {
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { connection: Frontend::from_stream(connection, 2), memory: Arc::new(memory()), features: 0 }
    }

    /// Connects, negotiates features of the rings, and shares all of the memory.
    pub(crate) fn new<D: VhostUserDevice>(back_end: &Running<D>, ring: u64) -> Self {
        let mut front_end = Self::on(back_end.connect());
        front_end.negotiate(ring);
        REGIONS.iter().for_each(|at| front_end.add(*at));
        front_end
    }

    fn negotiate(&mut self, ring: u64) {
        self.features = ring | VERSION_1 | PROTOCOL_FEATURES;
        self.connection.set_owner().unwrap();
        assert_eq!(self.connection.get_features().unwrap() & self.features, self.features);
        let offered = self.connection.get_protocol_features().unwrap();
        let accepted = VhostUserProtocolFeatures::REPLY_ACK
            | VhostUserProtocolFeatures::CONFIGURE_MEM_SLOTS
            | VhostUserProtocolFeatures::LOG_SHMFD
            | VhostUserProtocolFeatures::MQ
            | VhostUserProtocolFeatures::RESET_DEVICE;
        assert!(offered.contains(accepted));
        self.connection.set_protocol_features(accepted).unwrap();
        self.connection.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
        self.connection.set_features(self.features).unwrap();
    }

    /// Returns the features that were negotiated.
    pub(crate) fn features(&self) -> u64 {
        self.features
    }

    /// Accepts these features of the protocol, beside those that were negotiated.
    pub(crate) fn set_features(&self, more: u64) {
        self.connection.set_features(self.features | more).unwrap();
    }

    /// Shares the region at an address.
    pub(crate) fn add(&mut self, at: u64) {
        self.connection.add_mem_region(&self.region(at)).unwrap();
    }

    /// Does not share the region at an address any more.
    pub(crate) fn remove(&mut self, at: u64) {
        self.connection.remove_mem_region(&self.region(at)).unwrap();
    }

    pub(crate) fn region(&self, at: u64) -> VhostUserMemoryRegionInfo {
        VhostUserMemoryRegionInfo::from_guest_region(self.memory.find_region(GuestAddress(at)).unwrap()).unwrap()
    }

    /// Returns a driver that has its queue in the region with the number of the ring.
    pub(crate) fn driver(&self, index: usize, size: u16) -> Driver {
        let range = DriverRange::new(DriverAddr(REGIONS[index]), LEN as u64).unwrap();
        let options = DriverOptions { features: self.features & !PROTOCOL_FEATURES, ..Default::default() };
        Driver::within(VmMemory::new(Arc::clone(&self.memory)), range, size, options)
    }

    /// Starts a ring where its driver has it, and enables it.
    pub(crate) fn start(&mut self, index: usize, driver: &Driver) -> Signals {
        let base = if self.features & virtio_fake_driver::features::RING_PACKED == 0 { 0 } else { 0x8000 };
        self.start_with(index, driver, base, Signals::new())
    }

    pub(crate) fn start_with(&mut self, index: usize, driver: &Driver, base: u16, signals: Signals) -> Signals {
        self.set_up(index, driver, base, &signals);
        self.connection.set_vring_kick(index, &event(&signals.kick)).unwrap();
        self.connection.set_vring_enable(index, true).unwrap();
        signals
    }

    /// Says everything of a ring but its kick.
    pub(crate) fn set_up(&mut self, index: usize, driver: &Driver, base: u16, signals: &Signals) {
        let [descriptors, available, used] = driver.area_addresses().map(|addr| self.own_address(addr));
        let config = VringConfigData {
            queue_max_size: 256,
            queue_size: driver.size(),
            flags: 0,
            desc_table_addr: descriptors,
            used_ring_addr: used,
            avail_ring_addr: available,
            log_addr: None,
        };
        self.connection.set_vring_num(index, driver.size()).unwrap();
        self.connection.set_vring_base(index, base).unwrap();
        self.connection.set_vring_addr(index, &config).unwrap();
        self.connection.set_vring_err(index, &event(&signals.error)).unwrap();
        self.connection.set_vring_call(index, &event(&signals.call)).unwrap();
    }

    fn own_address(&self, addr: DriverAddr) -> u64 {
        self.memory.get_host_address(GuestAddress(addr.0)).unwrap() as u64
    }
}

fn memory() -> GuestMemoryMmap {
    let ranges = REGIONS.map(|at| (GuestAddress(at), LEN, Some(FileOffset::new(shared_file(LEN as u64), 0))));
    GuestMemoryMmap::from_ranges_with_files(ranges).unwrap()
}
