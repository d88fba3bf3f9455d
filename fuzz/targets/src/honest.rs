//! A driver whose rings are honest, and whose memory need not be.

use std::collections::HashMap;
use std::sync::Arc;

use virtio_fake_driver::features::{EVENT_IDX, INDIRECT_DESC, RING_PACKED};
use virtio_fake_driver::{AnyDriver, DriverChain, DriverOptions, UsedBuffer};
use virtio_mem_traits::{DriverAddr, DriverRange};
use virtio_queue_core::{AnyQueue, QueueLimits};

use crate::input::Input;
use crate::memory::{BASE, LEN, Memory};
use crate::ring::Interrupts;

/// The part of the memory that is for rings and tables. Buffers are behind it.
const RINGS: u64 = 0xc00;

/// The number of descriptors.
const SIZE: u16 = 32;

/// A queue, and its driver.
pub(crate) struct Honest {
    pub(crate) mem: Arc<Memory>,
    pub(crate) queue: AnyQueue<Arc<Memory>, Arc<Interrupts>>,
    driver: AnyDriver,
    /// Where the writable elements of a chain are.
    writable: HashMap<u16, Vec<(u64, u32)>>,
    /// Where the next buffer goes.
    next: u64,
    /// Whether the driver changes things while the device is at work.
    pub(crate) is_hostile: bool,
}

impl Honest {
    /// Makes both, unless memory ends in the middle of a word of the ring: such a ring is refused.
    pub(crate) fn new(input: &mut Input<'_>) -> Option<Self> {
        let mem = Memory::new(input);
        let features = input.one_of(&[0, EVENT_IDX, RING_PACKED, RING_PACKED | EVENT_IDX]) | INDIRECT_DESC;
        let range = DriverRange::new(DriverAddr(BASE), RINGS).unwrap();
        let options = DriverOptions { features, ..Default::default() };
        let driver = AnyDriver::within(mem.heap(), range, SIZE, options);
        mem.driver_is_done();
        let config = driver.queue_config(QueueLimits::default());
        let queue = AnyQueue::new(&config, Arc::clone(&mem), Arc::default()).ok()?;
        Some(Self { mem, queue, driver, writable: HashMap::new(), next: BASE + RINGS, is_hostile: false })
    }

    /// Makes a chain available that holds these bytes and has room for so many, cut as the input says. Returns what it
    /// is known by, if there is room for it.
    pub(crate) fn add(&mut self, input: &mut Input<'_>, readable: &[u8], writable: u32) -> Option<u16> {
        let (mut chain, mut rest) = (DriverChain::new(), readable);
        while !rest.is_empty() {
            let (part, after) = rest.split_at(cut(input, rest.len()));
            chain = chain.readable(part).at(DriverAddr(self.place(part.len())));
            rest = after;
        }
        let (mut places, mut left) = (Vec::new(), writable as usize);
        while left != 0 {
            let len = cut(input, left);
            let place = self.place(len);
            chain = chain.writable(len as u32).at(DriverAddr(place));
            places.push((place, len as u32));
            left -= len;
        }
        if input.flag() {
            chain = chain.indirect().table_misaligned_by(input.u8() % 16);
        }
        if chain.elements() == 0 || chain.elements() > SIZE.into() {
            return None;
        }
        let added = self.driver.add(&chain);
        self.mem.driver_is_done();
        let id = added.ok()?;
        places.iter().for_each(|(addr, len)| self.mem.forget(*addr, *len));
        self.writable.insert(id, places);
        Some(id)
    }

    /// Returns a place for a buffer, which may be on top of others.
    fn place(&mut self, len: usize) -> u64 {
        let end = BASE + LEN as u64;
        if self.next + len as u64 > end {
            self.next = BASE + RINGS;
        }
        let place = self.next;
        self.next += len as u64;
        place
    }

    /// Lets the driver become hostile.
    pub(crate) fn become_hostile(&mut self, input: &mut Input<'_>) {
        match input.u8() % 4 {
            0 => self.mem.script(input),
            1 => self.mem.deny(input),
            2 => self.mem.lie(input.u8()),
            _ => return,
        }
        self.is_hostile = true;
    }

    /// Takes back what the device has used. Of an honest driver's chain nothing is said to be written that was not.
    pub(crate) fn reap(&mut self) -> Vec<UsedBuffer> {
        if self.is_hostile {
            return Vec::new();
        }
        let used = self.driver.reap_all().expect("the device keeps to the rules");
        for buffer in &used {
            let mut left = buffer.len;
            for (addr, len) in self.writable.remove(&buffer.id).unwrap_or_default() {
                let part = left.min(len);
                assert!(self.mem.was_reported(addr, part), "{} bytes are said to be written", buffer.len);
                left -= part;
            }
        }
        self.mem.driver_is_done();
        used
    }
}

/// Returns how long the next element is, of so many bytes.
fn cut(input: &mut Input<'_>, len: usize) -> usize {
    match input.u8() {
        part @ 1..64 => len.min(part.into()),
        _ => len.min(1 << 10),
    }
}
