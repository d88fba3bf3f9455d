//! A block device, its driver, and the requests between them.

use virtio_examples::Device;
use virtio_examples::blk::{BlockDevice, DeviceId, MemStorage, RequestError, Storage};
use virtio_fake_driver::{DriverChain, SplitFixture, SplitFixtureOptions, features};
use virtio_mem_traits::{Access, DriverRange};
use virtio_queue_core::Walk;

/// Request types.
pub(crate) const IN: u32 = 0;
pub(crate) const OUT: u32 = 1;
pub(crate) const FLUSH: u32 = 4;
pub(crate) const GET_ID: u32 = 8;
pub(crate) const DISCARD: u32 = 11;
pub(crate) const WRITE_ZEROES: u32 = 13;

/// Statuses.
pub(crate) const OK: u8 = 0;
pub(crate) const IOERR: u8 = 1;
pub(crate) const UNSUPP: u8 = 2;

pub(crate) const SECTOR: usize = 512;

/// A device and its driver, which sends one request at a time.
pub(crate) struct Disk<S = MemStorage> {
    pub(crate) device: BlockDevice<S>,
    pub(crate) fixture: SplitFixture,
}

/// What the driver gets.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) result: Result<u64, RequestError>,
    /// The used length.
    pub(crate) len: u32,
    /// All that was writable, whether or not the used length covers it.
    pub(crate) writable: Vec<u8>,
}

impl<S: Storage> Disk<S> {
    pub(crate) fn new(storage: S) -> Self {
        let options =
            SplitFixtureOptions { size: 1024, features: features::INDIRECT_DESC, ..SplitFixtureOptions::default() };
        let device = BlockDevice::new(storage, DeviceId::new("disk-0").unwrap());
        Self { device, fixture: options.build().unwrap() }
    }

    /// Makes `chain` available and lets the device process it.
    pub(crate) fn send(&mut self, chain: &DriverChain) -> Reply {
        self.fixture.driver.add(chain).unwrap();
        self.process()
    }

    /// Lets the device process the chain that is available.
    pub(crate) fn process(&mut self) -> Reply {
        let chain = self.fixture.queue.next_chain().unwrap().unwrap();
        let ranges = writable_ranges(chain.walk());
        let result = self.device.process(chain);
        let view = self.fixture.driver.raw().view();
        let writable = ranges.iter().flat_map(|range| view.peek(range.start(), range.len() as usize)).collect();
        let used = self.fixture.driver.reap().unwrap().unwrap();
        Reply { result, len: used.len, writable }
    }
}

impl Disk {
    /// Ends the test with what is stored.
    pub(crate) fn stored(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.device.storage().size() as usize];
        self.device.storage().read_at(&mut bytes, 0).unwrap();
        bytes
    }
}

/// Returns where the writable elements are, up to where the chain is malformed.
fn writable_ranges(walk: impl Walk) -> Vec<DriverRange> {
    let elements = walk.map_while(Result::ok);
    elements.filter(|element| element.access == Access::Write).map(|element| element.range).collect()
}

impl Reply {
    /// Returns the last writable byte.
    pub(crate) fn status(&self) -> u8 {
        *self.writable.last().unwrap()
    }

    /// Returns all before it.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.writable[..self.writable.len() - 1]
    }

    /// Returns what the device says of an error.
    pub(crate) fn error(&self) -> String {
        self.result.as_ref().unwrap_err().to_string()
    }

    /// Checks that the driver was told of success, of so many bytes moved and so many written.
    #[track_caller]
    pub(crate) fn check_ok(&self, moved: u64, len: u32) {
        assert!(matches!(self.result, Ok(bytes) if bytes == moved), "{:?}", self.result);
        assert_eq!((self.status(), self.len), (OK, len));
    }
}

/// Returns what a request begins with.
pub(crate) fn header(kind: u32, sector: u64) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &[0xaa; 4], &sector.to_le_bytes()].concat()
}

/// Returns a segment to discard or to write zeroes to.
pub(crate) fn segment(sector: u64, sectors: u32, flags: u32) -> Vec<u8> {
    [&sector.to_le_bytes()[..], &sectors.to_le_bytes(), &flags.to_le_bytes()].concat()
}

/// Returns a request of one readable element and one writable one, which is the layout of hardly any driver.
pub(crate) fn request(kind: u32, sector: u64, readable: impl AsRef<[u8]>, writable: u32) -> DriverChain {
    DriverChain::new().readable([&header(kind, sector), readable.as_ref()].concat()).writable(writable + 1)
}

/// Returns bytes that tell their place.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index / SECTOR * 7 + index) as u8).collect()
}
