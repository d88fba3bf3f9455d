//! The largest chain: 2^32 bytes, of which the driver can be told 2^32 - 1.

use core::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use virtio_chain::{IncompleteError, IoVec, ReadableChain, Reader, Remaining, WritableChain, Writer};
use virtio_fake_driver::{DriverChain, SplitFixture, SplitFixtureOptions};
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, TranslateError};
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{ChainError, ChainErrorKind, QueueChain};
use virtio_util::NotificationCounter;

use super::bad::set_element;
use super::rig::refused;

/// Where 4 GiB of addresses begin, each 64 KiB of which are the same memory.
const WINDOW: DriverAddr = DriverAddr(1 << 40);
const HALF: u64 = 1 << 31;

type BigChain<'q> = WritableChain<QueueChain<'q, SplitRing<Rc<Aliased>>, Arc<NotificationCounter>>>;

/// The driver's memory, and the window.
struct Aliased {
    heap: Arc<HeapMem>,
    page: HeapMem,
    written: Cell<u64>,
}

impl DriverMem for Aliased {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        if range.start() < WINDOW {
            return self.heap.translate(range, access);
        }
        let size = self.page.range().len();
        let offset = range.start().0 % size;
        self.page.translate(self.page.range().after(offset).prefix(range.len()), access)
    }

    fn written(&self, range: DriverRange) {
        if range.start() >= WINDOW {
            self.written.set(self.written.get() + range.len());
        }
    }
}

/// Returns a queue in which a chain of two elements is available, of 2 GiB and `more` bytes together twice as much.
fn fixture(access: Access, more: u32) -> SplitFixture<Rc<Aliased>> {
    let options = SplitFixtureOptions { size: 4, memory_len: 0x1000, ..Default::default() };
    let page = HeapMem::new(DriverAddr(0), 0x1_0000).unwrap();
    let mut fixture = options.build_on(|heap, _| Rc::new(Aliased { heap, page, written: Cell::new(0) })).unwrap();
    let chain = match access {
        Access::Read => DriverChain::new().readable(b"1").readable(b"2"),
        _ => DriverChain::new().writable(1).writable(1),
    };
    let id = fixture.driver.add(&chain).unwrap();
    set_element(fixture.driver.raw(), id, 0, WINDOW, HALF as u32);
    set_element(fixture.driver.raw(), id, 1, DriverAddr(WINDOW.0 + HALF), HALF as u32 + more);
    fixture
}

/// Returns what the device says was written.
fn used_len(fixture: &SplitFixture<Rc<Aliased>>) -> u32 {
    assert_eq!(fixture.driver.raw().used_index(), 1);
    fixture.driver.raw().used_element(0).len
}

/// Moves all bytes, to nowhere.
#[expect(clippy::unnecessary_wraps, reason = "work can fail")]
fn all(pieces: &[IoVec]) -> Result<usize, ()> {
    Ok(pieces.iter().map(IoVec::len).sum())
}

/// SPLIT-DESC-7, SPLIT-USED-9: 2^32 bytes are lent in as many parts as their pieces take, and all of them count.
#[test]
fn chain_of_4_gib_lent_and_settled_reports_what_32_bits_can_say() {
    let mut fixture = fixture(Access::Write, 0);
    let mut chain = WritableChain::new(fixture.queue.next_chain().unwrap().unwrap());
    loop {
        let lent = chain.lend(u64::MAX).unwrap();
        let len = lent.len();
        if lent.is_empty() {
            break;
        }
        chain.settle(lent, len).unwrap();
    }
    assert_eq!((chain.prefix(), chain.written(), chain.position()), (u32::MAX, 1 << 32, 1 << 32));
    chain.return_complete().unwrap();
    assert_eq!(used_len(&fixture), u32::MAX);
    assert_eq!(fixture.mem.written.get(), 1 << 32);
}

/// SPLIT-DESC-7, SPLIT-USED-9: all 2^32 bytes are written, and as many of them reported as can be.
#[test]
fn chain_of_4_gib_written_reports_what_32_bits_can_say() {
    type Return = fn(BigChain<'_>);
    let returns: [Return; 4] = [
        |chain| drop(chain),
        |chain| chain.return_prefix().unwrap(),
        |chain| chain.return_complete().unwrap(),
        |chain| chain.return_written(u32::MAX).unwrap(),
    ];
    for give_back in returns {
        let mut fixture = fixture(Access::Write, 0);
        let mut chain = WritableChain::new(fixture.queue.next_chain().unwrap().unwrap());
        assert_eq!(chain.remaining(), Ok(Remaining { bytes: 1 << 32, descriptors: 2 }));
        assert_eq!(chain.fill(0x2_0000, 0xa5), Ok(0x2_0000));
        assert_eq!(chain.transfer(u64::MAX, all), Ok((1 << 32) - 0x2_0000));
        assert_eq!((chain.prefix(), chain.written(), chain.position()), (u32::MAX, 1 << 32, 1 << 32));
        assert_eq!(chain.remaining(), Ok(Remaining::default()));
        give_back(chain);
        assert_eq!(used_len(&fixture), u32::MAX);
        assert_eq!(fixture.mem.written.get(), 1 << 32);
        let page: [u8; 4] =
            fixture.mem.page.translate(fixture.mem.page.range(), Access::Read).unwrap().read(0).unwrap();
        assert_eq!(page, [0xa5; 4]);
    }
}

/// SPLIT-USED-9, SPLIT-USED-4: one byte less can be said, and is; one byte at the end without the first says nothing.
#[test]
fn chain_of_4_gib_written_in_part_reports_the_part() {
    let mut almost = fixture(Access::Write, 0);
    let mut chain = WritableChain::new(almost.queue.next_chain().unwrap().unwrap());
    assert_eq!(chain.transfer(u32::MAX.into(), all), Ok(u32::MAX.into()));
    let chain =
        refused(chain.try_return_complete(), IncompleteError::Unwritten(Remaining { bytes: 1, descriptors: 1 }));
    drop(chain);
    assert_eq!(used_len(&almost), u32::MAX);

    let mut last = fixture(Access::Write, 0);
    let chain = last.queue.next_chain().unwrap().unwrap();
    let mut writer = Writer::new(&chain);
    let mut status = writer.split_at(u64::from(u32::MAX)).unwrap();
    status.write_all(b"!").unwrap();
    writer.join(status).unwrap();
    assert_eq!((writer.prefix(), writer.written(), writer.position()), (0, 1, 1 << 32));
    chain.return_written(0).unwrap();
    assert_eq!(used_len(&last), 0);
}

/// SPLIT-DESC-7: 2^32 bytes can be read, or passed over.
#[test]
fn chain_of_4_gib_readable_is_passed_over() {
    let mut fixture = fixture(Access::Read, 0);
    let chain = fixture.queue.next_chain().unwrap().unwrap();
    let mut reader = Reader::new(&chain);
    let mut tail = reader.split_at((1 << 32) - 3).unwrap();
    assert_eq!(reader.remaining(), Ok(Remaining { bytes: (1 << 32) - 3, descriptors: 2 }));
    assert_eq!(reader.skip(1 << 40), Ok((1 << 32) - 3));
    assert_eq!(tail.read(&mut [1; 4]), Ok(3));
    let mut chain = ReadableChain::new(chain);
    assert_eq!(chain.skip(u64::MAX), Ok(1 << 32));
    chain.return_complete().unwrap();
    assert_eq!(used_len(&fixture), 0);
}

/// DRV-DESC-1, SPLIT-DESC-7: one byte more is too many, and is not reached.
#[test]
fn chain_of_4_gib_and_a_byte_refused() {
    for access in [Access::Read, Access::Write] {
        let mut fixture = fixture(access, 1);
        let chain = ReadableChain::new(fixture.queue.next_chain().unwrap().unwrap());
        let error = ChainError { id: chain.id(), kind: ChainErrorKind::TooManyBytes { total: (1 << 32) + 1 } };
        assert_eq!(chain.return_complete().unwrap_err(), IncompleteError::Chain(error));
        assert_eq!(used_len(&fixture), 0);
    }
}
