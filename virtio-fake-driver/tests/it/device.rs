//! Two devices: one on a real queue, and one that knows the used ring by literal offsets and nothing else.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;

use virtio_fake_driver::split::RawSplit;
use virtio_fake_driver::{DriverChain, SplitDriver, SplitOptions};
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem};
use virtio_queue_core::{DriverNotify, FatalError, Queue, Ring, Walk};

/// What the device answers to `request` if it may write `writable` bytes: not as many as it could.
fn answer(request: &[u8], writable: u64) -> Vec<u8> {
    let words = request.iter().chain(b"end").cycle().map(|byte| byte ^ 0x5a);
    words.take(usize::try_from(writable - writable / 3).unwrap()).collect()
}

/// What a driver finds in a buffer that the device has used.
pub(crate) fn answer_to(chain: &DriverChain) -> Vec<u8> {
    answer(&chain.readable_bytes(), chain.writable_len())
}

/// Answers all chains that are available.
pub(crate) fn serve(queue: &mut Queue<impl Ring, impl DriverNotify>) -> Result<usize, FatalError> {
    let mut served = 0;
    while let Some(chain) = queue.next_chain()? {
        let written = serve_chain(chain.mem(), chain.walk());
        chain.return_written(written).unwrap();
        served += 1;
    }
    Ok(served)
}

fn serve_chain(mem: &impl DriverMem, walk: impl Walk) -> u32 {
    let (mut request, mut writable) = (Vec::new(), Vec::new());
    for element in walk.map(Result::unwrap) {
        if element.access == Access::Write {
            writable.push(element.range);
            continue;
        }
        for_each_piece(mem, element.range, Access::Read, |range, piece| {
            mem.before_read(range);
            let mut bytes = vec![0; piece.len()];
            piece.read_bytes(0, &mut bytes).unwrap();
            request.extend(bytes);
        });
    }
    let answer = answer(&request, writable.iter().map(|range| range.len()).sum());
    let mut rest = answer.as_slice();
    for range in writable {
        for_each_piece(mem, range.prefix(rest.len() as u64), Access::Write, |range, piece| {
            let (part, after) = rest.split_at(piece.len());
            piece.write_bytes(0, part).unwrap();
            mem.written(range);
            rest = after;
        });
    }
    answer.len().try_into().unwrap()
}

fn for_each_piece(
    mem: &(impl DriverMem + ?Sized),
    mut range: DriverRange,
    access: Access,
    mut with: impl FnMut(DriverRange, DeviceRange<'_>),
) {
    while !range.is_empty() {
        let piece = mem.translate(range, access).unwrap();
        with(range.prefix(piece.len() as u64), piece);
        range = range.after(piece.len() as u64);
    }
}

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

/// 16 KiB at 0x1000.
pub(crate) fn heap() -> Arc<HeapMem> {
    Arc::new(HeapMem::new(DriverAddr(0x1000), 0x4000).unwrap())
}

pub(crate) fn range(start: u64, len: u64) -> DriverRange {
    DriverRange::new(DriverAddr(start), len).unwrap()
}

/// Returns what a mistake of the test is told.
pub(crate) fn panic_of<T>(mistake: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(mistake)).map(drop).expect_err("it is a mistake");
    let formatted = payload.downcast::<String>().map(|message| *message);
    formatted.unwrap_or_else(|payload| (*payload.downcast::<&str>().unwrap()).to_owned())
}
