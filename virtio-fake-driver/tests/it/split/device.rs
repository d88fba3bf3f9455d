//! A device that knows the used ring by literal offsets and nothing else.

use virtio_fake_driver::split::RawSplit;
use virtio_fake_driver::{SplitDriver, SplitOptions};
use virtio_mem_traits::DriverAddr;

use crate::support::heap;

/// A device that a test leads by the hand, on a queue of 8.
pub(crate) struct Puppet {
    raw: RawSplit,
    next_available: u16,
    next_used: u16,
}

impl Puppet {
    pub(crate) fn new(driver: &SplitDriver, start: u16) -> Self {
        assert_eq!(driver.size(), 8);
        Self { raw: driver.raw().clone(), next_available: start, next_used: start }
    }

    /// Takes the next available chain, which has to be there.
    pub(crate) fn fetch(&mut self) -> u32 {
        assert_ne!(self.raw.available_index(), self.next_available, "nothing is available");
        let head = self.raw.available_entry(self.next_available % 8);
        self.next_available = self.next_available.wrapping_add(1);
        head.into()
    }

    /// Writes a used element that the driver does not see yet.
    pub(crate) fn put(&mut self, id: u32, len: u32) {
        let element = self.device_area(4 + 8 * u64::from(self.next_used % 8));
        self.raw.view().poke(element, &[id.to_le_bytes(), len.to_le_bytes()].concat());
        self.next_used = self.next_used.wrapping_add(1);
    }

    /// Leaves elements out that the last one stands for.
    pub(crate) fn skip(&mut self, count: usize) {
        self.next_used = self.next_used.wrapping_add(count.try_into().unwrap());
    }

    /// Lets the driver see what was put.
    pub(crate) fn publish(&self) {
        self.set_used_index(self.next_used);
    }

    /// Returns the index of the next element.
    pub(crate) fn next_used(&self) -> u16 {
        self.next_used
    }

    pub(crate) fn set_used_flags(&self, flags: u16) {
        self.raw.view().poke(self.device_area(0), &flags.to_le_bytes());
    }

    pub(crate) fn set_used_index(&self, index: u16) {
        self.raw.view().poke(self.device_area(2), &index.to_le_bytes());
    }

    pub(crate) fn set_avail_event(&self, index: u16) {
        self.raw.view().poke(self.device_area(4 + 8 * 8), &index.to_le_bytes());
    }

    fn device_area(&self, offset: u64) -> DriverAddr {
        DriverAddr(self.raw.areas().device_area.0 + offset)
    }
}

/// A driver with a queue of 8, and a puppet.
pub(crate) fn with_puppet(options: SplitOptions) -> (SplitDriver, Puppet) {
    let driver = SplitDriver::new(heap(), 8, options);
    let puppet = Puppet::new(&driver, options.start.unwrap_or(0));
    (driver, puppet)
}
