//! A front end, its memory, and drivers in it.

use core::any::Any;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use adapter_test_support::{LEN, REGIONS, Signals, event, shared_file};
use virtio_fake_driver::{AnyDriver, DriverOptions};
use virtio_mem_traits::{DriverAddr, DriverRange};
use virtio_vm_memory::VmMemory;

use super::device::{Device, FEATURES};
use super::framework::GuestMemoryBackend;
use super::framework::adapter::{GuestMem, VringBitmap, VringMem};
use super::framework::vhost::vhost_user::message::{VhostUserHeaderFlag, VhostUserProtocolFeatures};
use super::framework::vhost::vhost_user::{Frontend, VhostUserFrontend};
use super::framework::vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use super::framework::vhost_user_backend::VhostUserDaemon;
use super::framework::vhost_user_backend::bitmap::BitmapReplace;
use super::framework::vm_memory::mmap::NewBitmap;
use super::framework::vm_memory::{FileOffset, GuestAddress, GuestMemoryMmap};

pub(crate) type Driver = AnyDriver<VringMem>;

/// What a driver accepts, of what a device offers.
pub(crate) const fn negotiated(ring: u64) -> u64 {
    use virtio_fake_driver::features::VERSION_1;
    FEATURES & (ring | VERSION_1 | 1 << 26 | 1 << 30)
}

pub(crate) struct FrontEnd {
    pub(crate) connection: Frontend,
    memory: Arc<GuestMemoryMmap>,
    _daemon: Box<dyn Any>,
}

impl FrontEnd {
    /// Connects to a back end with `device` in it, negotiates features of the rings, and shares all of the memory.
    pub(crate) fn new<B>(device: Arc<Device<B>>, ring: u64) -> Self
    where
        B: VringBitmap + BitmapReplace + NewBitmap + Clone,
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let mut daemon = VhostUserDaemon::new("test".into(), device, GuestMem::new(GuestMemoryMmap::new())).unwrap();
        daemon.start_client(path.to_str().unwrap()).unwrap();
        let connection = Frontend::from_stream(listener.accept().unwrap().0, 2);
        let mut front_end = Self { connection, memory: Arc::new(memory()), _daemon: Box::new(daemon) };
        front_end.negotiate(ring);
        front_end.share(&REGIONS);
        front_end
    }

    fn negotiate(&mut self, ring: u64) {
        self.connection.set_owner().unwrap();
        assert_eq!(self.connection.get_features().unwrap(), FEATURES);
        self.connection.set_features(negotiated(ring)).unwrap();
        let offered = self.connection.get_protocol_features().unwrap();
        assert!(offered.contains(VhostUserProtocolFeatures::REPLY_ACK));
        self.connection.set_protocol_features(offered).unwrap();
        self.connection.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
    }

    /// Shares the regions at these addresses, and no others.
    pub(crate) fn share(&self, regions: &[u64]) {
        let regions: Vec<_> = regions.iter().map(|at| self.region(*at)).collect();
        self.connection.set_mem_table(&regions).unwrap();
    }

    pub(crate) fn region(&self, at: u64) -> VhostUserMemoryRegionInfo {
        VhostUserMemoryRegionInfo::from_guest_region(self.memory.find_region(GuestAddress(at)).unwrap()).unwrap()
    }

    /// Returns a driver that has its queue in the region with the number of the ring.
    pub(crate) fn driver(&self, index: usize, size: u16, ring: u64) -> Driver {
        let range = DriverRange::new(DriverAddr(REGIONS[index]), LEN as u64).unwrap();
        let options = DriverOptions { features: negotiated(ring), ..Default::default() };
        Driver::within(VmMemory::new(Arc::clone(&self.memory)), range, size, options)
    }

    /// Starts a ring where its driver has it, and enables it.
    pub(crate) fn start(&mut self, index: usize, driver: &Driver, base: u16) -> Signals {
        self.start_as(index, driver, driver.size(), base)
    }

    /// Starts a ring as if it had `size` descriptors.
    pub(crate) fn start_as(&mut self, index: usize, driver: &Driver, size: u16, base: u16) -> Signals {
        let signals = Signals::new();
        let [descriptors, available, used] = driver.area_addresses().map(|addr| self.own_address(addr));
        let config = VringConfigData {
            queue_max_size: 256,
            queue_size: size,
            flags: 0,
            desc_table_addr: descriptors,
            used_ring_addr: used,
            avail_ring_addr: available,
            log_addr: None,
        };
        self.connection.set_vring_num(index, size).unwrap();
        self.connection.set_vring_base(index, base).unwrap();
        self.connection.set_vring_addr(index, &config).unwrap();
        self.connection.set_vring_err(index, &event(&signals.error)).unwrap();
        self.connection.set_vring_call(index, &event(&signals.call)).unwrap();
        self.connection.set_vring_kick(index, &event(&signals.kick)).unwrap();
        self.connection.set_vring_enable(index, true).unwrap();
        signals
    }

    fn own_address(&self, addr: DriverAddr) -> u64 {
        self.memory.get_host_address(GuestAddress(addr.0)).unwrap() as u64
    }
}

fn memory() -> GuestMemoryMmap {
    let ranges = REGIONS.map(|at| (GuestAddress(at), LEN, Some(FileOffset::new(shared_file(LEN as u64), 0))));
    GuestMemoryMmap::from_ranges_with_files(ranges).unwrap()
}
