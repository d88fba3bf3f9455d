//! A device that knows a packed ring by literal offsets and nothing else.

use std::sync::Arc;

use virtio_fake_driver::packed::RawPacked;
use virtio_fake_driver::{DriverChain, PackedDriver, PackedOptions};
use virtio_mem_traits::{DriverAddr, HeapMem};

/// A device that a test leads by the hand. Positions are slots, counted from the beginning of a lap whose wrap counter
/// is 1.
pub(crate) struct Puppet {
    raw: RawPacked,
    size: u64,
    next_available: u64,
    next_used: u64,
}

/// A list that the puppet has fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) id: u16,
    pub(crate) slots: u64,
}

impl Puppet {
    pub(crate) fn new(driver: &PackedDriver, start: u64) -> Self {
        Self { raw: driver.raw().clone(), size: driver.size().into(), next_available: start, next_used: start }
    }

    /// Takes the next available list, if there is one.
    pub(crate) fn try_fetch(&mut self) -> Option<Fetched> {
        let first = self.flags(self.next_available);
        let (avail, used, wrap) = (first & 0x80 != 0, first & 0x8000 != 0, self.wrap(self.next_available));
        if avail != wrap || used == wrap {
            return None;
        }
        let mut slots = 1;
        while self.flags(self.next_available + slots - 1) & 1 != 0 {
            assert!(slots < self.size, "a list without an end");
            slots += 1;
        }
        let id = self.raw.view().peek(self.slot(self.next_available + slots - 1, 12), 2);
        self.next_available += slots;
        Some(Fetched { id: u16::from_le_bytes([id[0], id[1]]), slots })
    }

    pub(crate) fn fetch(&mut self) -> Fetched {
        self.try_fetch().expect("something is available")
    }

    /// Lets the driver see that a list is used, which takes as many slots as it did.
    pub(crate) fn put(&mut self, Fetched { id, slots }: Fetched, len: u32) {
        let write = if len == 0 { 0 } else { 2 };
        let bits = if self.wrap(self.next_used) { 0x8080 } else { 0 };
        self.put_raw(id, len, write | bits);
        self.next_used += slots;
    }

    /// Writes a used descriptor with any flags where the next one goes, and stays there.
    pub(crate) fn put_raw(&self, id: u16, len: u32, flags: u16) {
        let view = self.raw.view();
        view.poke(self.slot(self.next_used, 8), &len.to_le_bytes());
        view.poke(self.slot(self.next_used, 12), &id.to_le_bytes());
        view.poke(self.slot(self.next_used, 14), &flags.to_le_bytes());
    }

    pub(crate) fn next_used(&self) -> u64 {
        self.next_used
    }

    /// Returns a position as it is on the wire.
    pub(crate) fn off_wrap(&self, position: u64) -> u16 {
        u16::try_from(position % self.size).unwrap() | if self.wrap(position) { 0x8000 } else { 0 }
    }

    pub(crate) fn set_device_events(&self, off_wrap: u16, flags: u16) {
        let bytes = [off_wrap.to_le_bytes(), flags.to_le_bytes()].concat();
        self.raw.view().poke(self.raw.areas().device_area, &bytes);
    }

    /// Returns whether the driver is to be interrupted for the list that was put last, by the letter of PACK-EVT-1 and
    /// PACK-EVT-2.
    pub(crate) fn interrupts(&self, Fetched { slots, .. }: Fetched) -> bool {
        let bytes = self.raw.view().peek(self.raw.areas().driver_area, 4);
        let (off_wrap, flags) = (u16::from_le_bytes([bytes[0], bytes[1]]), [bytes[2], bytes[3]]);
        match flags {
            [0, 0] => true,
            [1, 0] => false,
            [2, 0] => (self.next_used - slots..self.next_used).any(|position| self.off_wrap(position) == off_wrap),
            _ => panic!("the driver asks for {flags:?}"),
        }
    }

    fn wrap(&self, position: u64) -> bool {
        position / self.size % 2 == 0
    }

    fn flags(&self, position: u64) -> u16 {
        let bytes = self.raw.view().peek(self.slot(position, 14), 2);
        u16::from_le_bytes([bytes[0], bytes[1]])
    }

    fn slot(&self, position: u64, offset: u64) -> DriverAddr {
        DriverAddr(self.raw.areas().descriptor_area.0 + 16 * (position % self.size) + offset)
    }
}

/// A driver with a queue of `size` that begins at position `start`, from 0 up to two laps, and a puppet.
pub(crate) fn with_puppet(size: u16, start: u64, options: PackedOptions) -> (PackedDriver, Puppet) {
    let heap = Arc::new(HeapMem::new(DriverAddr(0x1000), 0x1000 + 16 * usize::from(size)).unwrap());
    let lap = u64::from(size);
    let start_wire = u16::try_from(start % lap).unwrap() | if start / lap == 0 { 0x8000 } else { 0 };
    let driver = PackedDriver::new(heap, size, PackedOptions { start: Some(start_wire), ..options });
    let puppet = Puppet::new(&driver, start);
    (driver, puppet)
}

/// A chain of `elements` elements, without bytes.
pub(crate) fn list(elements: u64) -> DriverChain {
    (0..elements).fold(DriverChain::new(), |chain, _| chain.writable(0))
}
