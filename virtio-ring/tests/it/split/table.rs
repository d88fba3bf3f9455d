//! Tables of descriptors, wherever they lie.

use core::cell::RefCell;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, TranslateError};
use virtio_ring::split::{
    Descriptor, DescriptorArea, DescriptorFlags, DescriptorIndex, DescriptorTable, Layout, QueueSize, TableError,
};
use zerocopy::IntoBytes;

const BASE: u64 = 0x4000;

/// Memory that is contiguous for the driver and breaks off here every `piece` bytes.
struct Pieces {
    heap: HeapMem,
    piece: u64,
}

impl Pieces {
    fn new(piece: u64) -> Self {
        Self { heap: HeapMem::new(DriverAddr(BASE), 0x1000).unwrap(), piece }
    }

    /// Puts a table of four at `offset`, and returns its range and its entries.
    fn put_table(&self, offset: u64) -> (DriverRange, [Descriptor; 4]) {
        let entries = [0_u16, 1, 2, 3].map(|index| {
            let addr = DriverAddr(0x0101_0101_0101_0101 * u64::from(index + 1));
            Descriptor::new(addr, 1000 + u32::from(index), DescriptorFlags(index), DescriptorIndex(0xff00 | index))
        });
        let range = DriverRange::new(DriverAddr(BASE + offset), 64).unwrap();
        self.heap.translate_all(range, Access::Write).unwrap().write_bytes(0, entries.as_bytes()).unwrap();
        (range, entries)
    }
}

impl DriverMem for Pieces {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        let left = self.piece - (range.start().0 - BASE) % self.piece;
        self.heap.translate(range.prefix(left), access)
    }
}

/// LAY-11, HOST-32: at every offset, aligned or not, in pieces of every size.
#[test]
fn table_indirect_anywhere_reads_the_same() {
    for piece in [1, 2, 3, 7, 8, 16, 24, 64, 4096] {
        let mem = Pieces::new(piece);
        for offset in 0..20 {
            let (range, entries) = mem.put_table(offset);
            let table = DescriptorTable::indirect(&mem, range).unwrap();
            for (index, entry) in (0..).zip(&entries) {
                assert_eq!(table.get(DescriptorIndex(index)), Ok(*entry), "piece {piece}, offset {offset}");
            }
        }
    }
}

/// SPLIT-IND-6, HOST-2: an indirect table ends after as many entries as its length says.
#[test]
fn table_get_beyond_the_end_refused() {
    let mem = Pieces::new(4096);
    let (range, _) = mem.put_table(0);
    let table = DescriptorTable::indirect(&mem, range).unwrap();
    for index in [4, 5, 255, 0xffff] {
        let index = DescriptorIndex(index);
        assert_eq!(table.get(index), Err(TableError::NoEntry { index, len: 4 }));
    }
}

/// A table is as long as whole descriptors fit into it, and as an index can name.
#[test]
fn table_len_is_the_number_of_descriptors() {
    let mem = Pieces::new(4096);
    for (bytes, len) in [(0, 0), (15, 0), (16, 1), (63, 3), (64, 4), (16 << 16, 1 << 16), (17 << 16, 1 << 16)] {
        let range = DriverRange::new(DriverAddr(BASE), bytes).unwrap();
        let table = DescriptorTable::indirect(&mem, range).unwrap();
        assert_eq!((table.len(), table.is_empty()), (len, len == 0), "{bytes} bytes");
    }
    let area = DescriptorArea::new(&mem, Layout::new(QueueSize::new(4).unwrap()), DriverAddr(BASE)).unwrap();
    assert_eq!(area.table().len(), 4);
}

#[test]
fn table_iter_reads_each_descriptor() {
    for (piece, offset) in [(4096, 0), (4096, 3), (24, 0)] {
        let mem = Pieces::new(piece);
        let (range, entries) = mem.put_table(offset);
        let table = DescriptorTable::indirect(&mem, range).unwrap();
        assert_eq!(table.iter().collect::<Vec<_>>(), entries.map(Ok));
    }
}

/// HOST-11: what cannot be read is said once, and the end.
#[test]
fn table_iter_where_memory_ends_is_finished_by_the_error() {
    let mem = Pieces::new(4096);
    let range = DriverRange::new(DriverAddr(BASE + 0x1000 - 32), 64).unwrap();
    let table = DescriptorTable::<_>::indirect(&mem, range).unwrap();
    let mut descriptors = table.iter();
    let unmapped = TranslateError::Unmapped { addr: DriverAddr(BASE + 0x1000) };
    let read: Vec<_> = descriptors.by_ref().map(|descriptor| descriptor.err()).collect();
    assert_eq!(read, [None, None, Some(TableError::Translate(unmapped))]);
    assert!(descriptors.next().is_none());
}

#[test]
fn table_errors_are_displayed_with_their_numbers() {
    let error = TableError::NoEntry { index: DescriptorIndex(9), len: 8 };
    assert_eq!(error.to_string(), "the table has no descriptor 9: it has 8, from 0 on");
    let error = TableError::Translate(TranslateError::Unmapped { addr: DriverAddr(0x10) });
    assert!(error.to_string().starts_with("a descriptor cannot be read: no driver memory at 0x10"), "{error}");
}

/// HOST-11: a table that goes on where there is no memory can be read up to there.
#[test]
fn table_get_where_memory_ends_refused() {
    let mem = Pieces::new(4096);
    let range = DriverRange::new(DriverAddr(BASE + 0x1000 - 24), 64).unwrap();
    let table = DescriptorTable::indirect(&mem, range).unwrap();
    assert!(table.get(DescriptorIndex(0)).is_ok());
    let unmapped = TranslateError::Unmapped { addr: DriverAddr(BASE + 0x1000) };
    assert_eq!(table.get(DescriptorIndex(1)), Err(TableError::Translate(unmapped)));
    assert!(DescriptorTable::indirect(&mem, range.after(24)).is_err());
}

/// Memory that takes note of what is read, and was not translated before.
struct Proved {
    mem: Pieces,
    translated: RefCell<Vec<DriverRange>>,
    claims: RefCell<Vec<DriverRange>>,
}

impl DriverMem for Proved {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        let piece = self.mem.translate(range, access)?;
        self.translated.borrow_mut().push(range.prefix(piece.len() as u64));
        Ok(piece)
    }

    fn before_read(&self, range: DriverRange) {
        let last = range.after(range.len() - 1).start();
        let all_in =
            |proved: &DriverRange| proved.offset_of(range.start()).is_some() && proved.offset_of(last).is_some();
        if !self.translated.borrow().iter().any(all_in) {
            self.claims.borrow_mut().push(range);
        }
    }
}

/// HOST-11: of an entry in pieces, nothing is said to be read before it was translated.
#[test]
fn table_get_in_pieces_reports_what_was_translated() {
    let mem = Proved { mem: Pieces::new(24), translated: RefCell::default(), claims: RefCell::default() };
    let (range, entries) = mem.mem.put_table(3);
    let table = DescriptorTable::indirect(&mem, range).unwrap();
    assert_eq!([0, 1, 2, 3].map(|index| table.get(DescriptorIndex(index))), entries.map(Ok));
    assert_eq!(mem.claims.take(), []);
}

/// LAY-4: the table of a queue that is mapped in pieces.
#[test]
fn table_of_queue_in_pieces_reads_the_same() {
    let mem = Pieces::new(24);
    let (_, entries) = mem.put_table(0);
    let area = DescriptorArea::new(&mem, Layout::new(QueueSize::new(4).unwrap()), DriverAddr(BASE)).unwrap();
    let table = area.table();
    assert_eq!([0, 1, 2, 3].map(|index| table.get(DescriptorIndex(index))), entries.map(Ok));
    let index = DescriptorIndex(4);
    assert_eq!(table.get(index), Err(TableError::NoEntry { index, len: 4 }));
}

/// SPLIT-DESC-5, SPLIT-DESC-8: fields are what they are; the range is checked for its end alone.
#[test]
fn descriptor_range_ends_at_the_top_at_most() {
    let descriptor =
        |addr, len| Descriptor::new(DriverAddr(addr), len, DescriptorFlags(0xfff8), DescriptorIndex(0xffff));
    // HOST-10: the last byte of the address space is a byte like any other.
    assert_eq!(descriptor(u64::MAX, 1).range(), DriverRange::new(DriverAddr(u64::MAX), 1));
    // HOST-9, HOST-17.
    assert_eq!(descriptor(u64::MAX, 2).range(), None);
    assert_eq!(descriptor(u64::MAX, u32::MAX).range(), None);
    assert_eq!(descriptor(u64::MAX - 255, 512).range(), None);
    // HOST-14: no bytes, no end.
    assert!(descriptor(u64::MAX, 0).range().unwrap().is_empty());
    assert!(!descriptor(0, 0).flags().contains(DescriptorFlags::NEXT));
}
