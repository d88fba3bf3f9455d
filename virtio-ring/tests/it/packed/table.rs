//! Tables of descriptors, wherever they lie.

use virtio_mem_traits::{Access, DriverAddr, DriverRange};
use virtio_ring::packed::{BufferId, Descriptor, DescriptorFlags, DescriptorIndex, DescriptorTable, TableError};
use zerocopy::IntoBytes;

use crate::support::{BASE, LogMem};

/// LAY-11, PACK-IND-5, PACK-IND-6: a table of packed descriptors at any address, read and never written.
#[test]
fn indirect_table_read_at_any_address() {
    let mem = LogMem::new();
    let entries =
        [1_u16, 2, 3].map(|n| Descriptor::new(DriverAddr(n.into()), 7, BufferId(!n), DescriptorFlags(n << 8)));
    for offset in 0..17_usize {
        mem.poke(offset, entries.as_bytes());
        mem.rights.take();
        let range = DriverRange::new(DriverAddr(BASE + offset as u64), 48).unwrap();
        let table = DescriptorTable::indirect(&mem, range).unwrap();
        assert_eq!([0, 1, 2].map(|index| table.get(DescriptorIndex(index))), entries.map(Ok));
        let index = DescriptorIndex(3);
        assert_eq!(table.get(index), Err(TableError::NoEntry { index, len: 3 }));
        assert!(mem.rights.take().iter().all(|access| *access == Access::Read));
    }
    assert!(mem.log.take().iter().all(|(_, len, write)| (*len, *write) == (16, false)));
}
