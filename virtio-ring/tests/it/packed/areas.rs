//! The areas of a packed virtqueue, field by field, in memory that logs every access.

use virtio_mem_traits::{Access, AreaError, DriverAddr, TranslateError};
use virtio_ring::packed::{
    BufferId, DescriptorArea, DescriptorFlags, DescriptorIndex, DeviceArea, DriverArea, EventSuppression, Layout,
    NotificationMode, OffWrap, TableError, UsedDescriptor,
};

use super::{at, size};
use crate::support::{BASE, LogMem};

/// LAY-9, BAR-12, FEAT-12, PACK-WRAP-6: the fields of the ring are read at their places, Buffer ID and flags in one
/// access, and the area is translated once for reading and for writing.
#[test]
fn descriptor_area_fields_at_their_place() {
    let mem = LogMem::new();
    let area = DescriptorArea::new(&mem, Layout::new(size(5)), DriverAddr(BASE + 0x10)).unwrap();
    assert_eq!(mem.rights.take(), [Access::ReadWrite]);
    assert_eq!(mem.log.take(), []);

    mem.poke(0x50, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x34, 0x12, 0x81, 0x80]);
    let last = at(5, 4, false);
    assert_eq!(area.first(last), Ok((BufferId(0x1234), DescriptorFlags(0x8081))));
    assert_eq!(area.later(last.slot()), Ok((BufferId(0x1234), DescriptorFlags(0x8081))));
    let descriptor = area.table().get(DescriptorIndex(4)).unwrap();
    assert_eq!((descriptor.addr().0, descriptor.len()), (0x0807_0605_0403_0201, 0x0c0b_0a09));
    assert_eq!(area.table().get(DescriptorIndex(5)), Err(TableError::NoEntry { index: DescriptorIndex(5), len: 5 }));
    assert_eq!(mem.log.take(), [(0x5c, 4, false), (0x5c, 4, false), (0x50, 16, false)]);
}

/// BAR-8, BAR-9, PACK-USED-6, PACK-DESC-4, END-1: length, id and flags in one access, in which none can be seen without
/// the others; the address stays, and so do the neighbours.
#[test]
fn descriptor_area_used_written_at_once() {
    let mem = LogMem::new();
    let area = DescriptorArea::new(&mem, Layout::new(size(5)), DriverAddr(BASE)).unwrap();
    mem.poke(0, &[0xee; 80]);
    area.set_used(at(5, 1, true), UsedDescriptor::new(BufferId(0x0203), 0x0405_0607, true)).unwrap();
    assert_eq!(mem.log.take(), [(24, 8, true)]);
    assert_eq!(mem.peek(24), [7, 6, 5, 4, 3, 2, 0x82, 0x80]);
    assert_eq!((mem.peek(0), mem.peek(32)), ([0xee; 24], [0xee; 48]));
}

/// BAR-10, LAY-9, FEAT-12, END-1: each event structure is one access of 32 bits: the driver's is read, the device's
/// written, and neither the other way round.
#[test]
fn event_areas_accessed_as_a_whole() {
    let mem = LogMem::new();
    let driver = DriverArea::new(&mem, Layout::new(size(5)), DriverAddr(BASE + 4)).unwrap();
    let device = DeviceArea::new(&mem, Layout::new(size(5)), DriverAddr(BASE + 12)).unwrap();
    assert_eq!(mem.rights.take(), [Access::Read, Access::Write]);
    assert_eq!(mem.log.take(), []);
    mem.poke(0, &[0xee; 20]);
    mem.poke(4, &[3, 0x80, 2, 0]);
    let named = NotificationMode::Descriptor(OffWrap::new(3, true));
    assert_eq!(driver.event_suppression().unwrap().mode(true), named);
    device.set_event_suppression(EventSuppression::new(NotificationMode::Descriptor(OffWrap::new(4, false)))).unwrap();
    assert_eq!(mem.log.take(), [(4, 4, false), (12, 4, true)]);
    assert_eq!(mem.peek(8), [0xee, 0xee, 0xee, 0xee, 4, 0, 2, 0, 0xee, 0xee, 0xee, 0xee]);
}

/// FEAT-12, BAR-10: whoever looks at the device's events reads them at once, with the right to read and no more.
#[test]
fn device_area_for_reading_read_as_a_whole() {
    let mem = LogMem::new();
    let layout = Layout::new(size(5));
    let area = DeviceArea::for_reading(&mem, layout, DriverAddr(BASE + 12)).unwrap();
    assert_eq!(mem.rights.take(), [Access::Read]);
    mem.poke(12, &[3, 0x80, 2, 0]);
    let named = NotificationMode::Descriptor(OffWrap::new(3, true));
    assert_eq!(area.event_suppression().unwrap().mode(true), named);
    assert_eq!(mem.log.take(), [(12, 4, false)]);
    let reader = DeviceArea::new(&mem, layout, DriverAddr(BASE + 12)).unwrap().reader().unwrap();
    assert_eq!(reader.event_suppression().unwrap().mode(true), named);
    assert_eq!(mem.rights.take(), [Access::Write, Access::Read]);
}

/// LAY-7, DRV-CFG-2, HOST-13: each area off by less than its alignment, and off the end of memory.
#[test]
fn areas_misaligned_or_beyond_memory_refused() {
    let mem = LogMem::new();
    let layout = Layout::new(size(7));
    let end = BASE + 0x1000;
    let descriptor = |addr| DescriptorArea::new(&mem, layout, DriverAddr(addr)).err();
    let driver = |addr| DriverArea::new(&mem, layout, DriverAddr(addr)).err();
    let device = |addr| DeviceArea::new(&mem, layout, DriverAddr(addr)).err();
    let misaligned = |addr, align| Some(AreaError::Misaligned { addr: DriverAddr(addr), align });
    let unmapped = |addr| Some(AreaError::Translate(TranslateError::Unmapped { addr: DriverAddr(addr) }));

    for by in 1..16 {
        assert_eq!(descriptor(BASE + by), misaligned(BASE + by, 16));
    }
    for by in 1..4 {
        assert_eq!(driver(BASE + by), misaligned(BASE + by, 4));
        assert_eq!(device(BASE + by), misaligned(BASE + by, 4));
    }
    assert_eq!((descriptor(end - 112), driver(end - 4), device(end - 4)), (None, None, None));
    assert_eq!(descriptor(end - 96), unmapped(end));
    assert_eq!((driver(end), device(end)), (unmapped(end), unmapped(end)));
    assert_eq!(descriptor(u64::MAX - 15), unmapped(u64::MAX - 15));
    assert_eq!((driver(u64::MAX - 3), device(u64::MAX - 3)), (unmapped(u64::MAX - 3), unmapped(u64::MAX - 3)));
    assert_eq!(mem.log.take(), [], "an area is proved without being accessed");
}
