//! A guest that outlives its back ends: memory with the driver of one queue, in either format.

use core::ptr::NonNull;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};
use virtio_fake_driver::{AnyDriver, DriverChain, DriverOptions, UsedBuffer};
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, TranslateError};

use super::back_end::wait_readable;
use super::driver::PACKED;
use super::front_end::*;
use Answer::Yes;

/// What the front end calls the first byte of the guest's address space.
const USER: u64 = 0x7f00_0000_0000;

/// The memory of a guest, as a file that back ends map as well.
pub(crate) struct Shared {
    file: File,
    map: MmapRaw,
    range: DriverRange,
}

impl Shared {
    fn new(start: u64, len: u64) -> Arc<Self> {
        let file = memory_file(len);
        let map = MmapOptions::new().len(len as usize).map_raw(&file).unwrap();
        Arc::new(Self { file, map, range: DriverRange::new(DriverAddr(start), len).unwrap() })
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.range.len() as usize];
        self.file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    pub(crate) const fn file(&self) -> &File {
        &self.file
    }

    pub(crate) const fn range(&self) -> DriverRange {
        self.range
    }

    /// Makes it what it was.
    pub(crate) fn restore(&self, bytes: &[u8]) {
        self.file.write_all_at(bytes, 0).unwrap();
    }
}

impl DriverMem for Shared {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        let skipped = self.range.offset_of(range.start()).ok_or(TranslateError::Unmapped { addr: range.start() })?;
        let start = NonNull::new(self.map.as_mut_ptr()).unwrap();
        // SAFETY: (1) all of the mapping is for reading and writing by any thread until the drop of `self`, and nobody
        // makes its file shorter; (2) it is accessed through such ranges only; (3) it is one mapping.
        let all = unsafe { DeviceRange::new(start, self.map.len(), access) };
        Ok(all.after(skipped as usize).prefix(range.len() as usize))
    }
}

/// A guest with the driver of queue 0, which is the only one that is set up.
pub(crate) struct Guest {
    pub(crate) mem: Arc<Shared>,
    pub(crate) driver: AnyDriver<Arc<Shared>>,
    features: u64,
    size: u16,
    kick: OwnedFd,
    pub(crate) call: OwnedFd,
    /// What the back end made to record what is in flight, and what it said of it.
    pub(crate) record: Option<(Vec<u8>, File)>,
}

impl Guest {
    /// Returns a guest with a queue of `size` and with `len` bytes of memory from `start` on.
    pub(crate) fn new(features: u64, size: u16, start: u64, len: u64) -> Self {
        let mem = Shared::new(start, len);
        let options = DriverOptions { features: features & !FEATURES, ..DriverOptions::default() };
        let driver = AnyDriver::within(Arc::clone(&mem), mem.range, size, options);
        Self { mem, driver, features: features | FEATURES, size, kick: event_fd(), call: event_fd(), record: None }
    }

    /// Connects to a back end, and shares the memory with it.
    pub(crate) fn connect(&self, socket: &Path) -> FrontEnd {
        self.connect_with(socket, &[self.region()])
    }

    /// Connects to a back end, and shares parts of the memory with it.
    pub(crate) fn connect_with(&self, socket: &Path, regions: &[Region]) -> FrontEnd {
        let mut front_end = FrontEnd::agreed(socket, self.features);
        regions.iter().for_each(|region| assert_eq!(front_end.add_memory(*region, &self.mem.file), Yes));
        front_end
    }

    /// Returns all of its memory.
    pub(crate) fn region(&self) -> Region {
        self.part(self.mem.range)
    }

    /// Returns a part of its memory.
    pub(crate) fn part(&self, range: DriverRange) -> Region {
        let (guest, size) = (range.start().0, range.len());
        Region { guest, size, user: USER + guest, offset: self.mem.range.offset_of(range.start()).unwrap() }
    }

    /// Hands over the record of what is in flight, after it was made.
    pub(crate) fn hand_over_record(&mut self, front_end: &mut FrontEnd, queues: u16) {
        let (size, asked) = (self.size, inflight(0, 0, queues, self.size));
        let (described, file) =
            self.record.get_or_insert_with(|| front_end.ask_for_file(GET_INFLIGHT_FD, &asked).unwrap());
        assert_eq!(described[16..20], inflight(0, 0, queues, size)[16..20]);
        assert_eq!(front_end.set_with(SET_INFLIGHT_FD, described, &[file.as_fd()]), Yes);
    }

    /// Returns what is recorded.
    pub(crate) fn record_bytes(&self) -> Vec<u8> {
        let (_, file) = self.record.as_ref().unwrap();
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// Makes the record what it was.
    pub(crate) fn restore_record(&self, bytes: &[u8]) {
        self.record.as_ref().unwrap().1.write_all_at(bytes, 0).unwrap();
    }

    /// Lets the queue run, which was at `base` as far as the front end knows.
    pub(crate) fn start(&self, front_end: &mut FrontEnd, base: u32) {
        self.prepare(front_end, base);
        assert_eq!(front_end.set_ring(SET_VRING_ENABLE, 0, 1), Yes);
    }

    /// Says everything of the queue, but does not let it run.
    pub(crate) fn prepare(&self, front_end: &mut FrontEnd, base: u32) {
        assert_eq!(front_end.set_ring(SET_VRING_NUM, 0, self.size.into()), Yes);
        assert_eq!(front_end.set_ring(SET_VRING_BASE, 0, base), Yes);
        assert_eq!(front_end.set(SET_VRING_ADDR, &self.addresses(None)), Yes);
        assert_eq!(front_end.set_event(SET_VRING_CALL, 0, &self.call), Yes);
        assert_eq!(front_end.set_event(SET_VRING_KICK, 0, &self.kick), Yes);
    }

    /// Returns where the queue is, with the log address of what is used if that is to be marked.
    pub(crate) fn addresses(&self, log: Option<u64>) -> Vec<u8> {
        let [descriptor, driver, device] = self.driver.area_addresses().map(|addr| addr.0 + USER);
        let addrs = [descriptor, device, driver, log.unwrap_or_default()];
        let head = pair(0, log.is_some().into());
        head.into_iter().chain(addrs.iter().flat_map(|addr| addr.to_le_bytes())).collect()
    }

    /// Returns the base of a new queue.
    pub(crate) fn new_base(&self) -> u32 {
        if self.features & PACKED == 0 { 0 } else { 0x8000_8000 }
    }

    /// Makes a request available, if there is room, and returns what the driver knows it by.
    pub(crate) fn add(&mut self, chain: &DriverChain) -> Option<u16> {
        self.driver.add(chain).ok()
    }

    /// Kicks the device, if it wants that.
    pub(crate) fn kick(&mut self) {
        if self.driver.needs_kick() {
            rustix::io::write(&self.kick, &1_u64.to_ne_bytes()).unwrap();
        }
    }

    /// Waits for used buffers, and returns them.
    pub(crate) fn wait(&mut self) -> Vec<UsedBuffer> {
        loop {
            let used = self.driver.reap_all().unwrap();
            if !used.is_empty() {
                return used;
            }
            wait_readable(&self.call, "a request");
            let _ = rustix::io::read(&self.call, &mut [0; 8]);
        }
    }
}

/// Returns the description of a record.
pub(crate) fn inflight(size: u64, offset: u64, queues: u16, queue_size: u16) -> Vec<u8> {
    let numbers = [size, offset].into_iter().flat_map(|number| number.to_le_bytes());
    numbers.chain([queues, queue_size].into_iter().flat_map(|number| number.to_le_bytes())).chain([0; 4]).collect()
}
