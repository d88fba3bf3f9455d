//! The areas of a split virtqueue, field by field, in memory that logs every access.

use virtio_mem_traits::{Access, AreaError, DeviceRange, DriverAddr, DriverMem, DriverRange, TranslateError};
use virtio_ring::split::{
    DescriptorArea, DescriptorIndex, DeviceArea, DriverArea, Layout, QueueSize, RingIndex, UsedElement, UsedFlags,
};

use crate::support::{BASE, LogMem};

fn layout(size: u16) -> Layout {
    Layout::new(QueueSize::new(size).unwrap())
}

/// SPLIT-AVAIL-1, BAR-12, FEAT-12: one aligned 16-bit read for each field, with the right to read and no more.
#[test]
fn driver_area_fields_read_once_at_their_place() {
    let mem = LogMem::new();
    let area = DriverArea::new(&mem, layout(4), DriverAddr(BASE + 0x10)).unwrap();
    assert_eq!(mem.rights.take(), [Access::Read]);
    assert_eq!(mem.log.take(), []);

    mem.poke(0x10, &[1, 0, 0x34, 0x12, 3, 0, 2, 0, 1, 0, 0xff, 0xff, 0x78, 0x56]);
    assert!(area.flags().unwrap().no_interrupt());
    assert_eq!(area.index(), Ok(RingIndex::new(0x1234)));
    assert_eq!(area.entry(RingIndex::new(0xfffc)), Ok(DescriptorIndex(3)));
    assert_eq!(area.entry(RingIndex::new(7)), Ok(DescriptorIndex(0xffff)));
    assert_eq!(area.used_event(), Ok(RingIndex::new(0x5678)));
    assert_eq!(
        mem.log.take(),
        [(0x10, 2, false), (0x12, 2, false), (0x14, 2, false), (0x1a, 2, false), (0x1c, 2, false)]
    );
}

/// SPLIT-UNOT-9, DRV-UNOT-1: only the lowest bit of the flags counts.
#[test]
fn driver_area_flags_only_bit_0_counts() {
    let mem = LogMem::new();
    let area = DriverArea::new(&mem, layout(4), DriverAddr(BASE)).unwrap();
    for (flags, no_interrupt) in [(0_u16, false), (1, true), (0xfffe, false), (0xffff, true)] {
        mem.poke(0, &flags.to_le_bytes());
        assert_eq!(area.flags().unwrap().no_interrupt(), no_interrupt, "{flags:#x}");
    }
}

/// LAY-5, SPLIT-USED-5, SPLIT-USED-8, FEAT-12: each field is written, never read, and with the right to write and no
/// more.
#[test]
fn device_area_fields_written_at_their_place() {
    let mem = LogMem::new();
    let area = DeviceArea::new(&mem, layout(4), DriverAddr(BASE + 0x20)).unwrap();
    assert_eq!(mem.rights.take(), [Access::Write]);
    assert_eq!(mem.log.take(), []);

    area.set_flags(UsedFlags::NO_NOTIFY).unwrap();
    area.set_used(RingIndex::new(6), UsedElement::new(DescriptorIndex(1), 0x99)).unwrap();
    area.publish(RingIndex::new(7)).unwrap();
    area.set_avail_event(RingIndex::new(0x8001)).unwrap();
    assert_eq!(mem.log.take(), [(0x20, 2, true), (0x34, 8, true), (0x22, 2, true), (0x44, 2, true)]);
    assert_eq!(mem.peek(0x20), [1, 0, 7, 0]);
    assert_eq!(mem.peek(0x34), [1, 0, 0, 0, 0x99, 0, 0, 0]);
    assert_eq!(mem.peek(0x44), [1, 0x80]);
}

/// FEAT-12, BAR-12, END-1, INV-10: whoever looks at a used ring reads each field once, at its place, with the right to
/// read and no more. Big-endian hosts do the same.
#[test]
fn device_area_for_reading_fields_read_once_at_their_place() {
    let mem = LogMem::new();
    let area = DeviceArea::for_reading(&mem, layout(4), DriverAddr(BASE + 0x20)).unwrap();
    assert_eq!(mem.rights.take(), [Access::Read]);
    assert_eq!(mem.log.take(), []);

    mem.poke(0x20, &[1, 0, 0x34, 0x12]);
    mem.poke(0x34, &[1, 2, 3, 4, 5, 6, 7, 8]);
    mem.poke(0x44, &[0x78, 0x56]);
    assert!(area.flags().unwrap().no_notify());
    assert_eq!(area.index(), Ok(RingIndex::new(0x1234)));
    let element = area.used(RingIndex::new(0xfffe)).unwrap();
    assert_eq!((element.id(), element.len(), element.is_empty()), (0x0403_0201, 0x0807_0605, false));
    assert_eq!(area.avail_event(), Ok(RingIndex::new(0x5678)));
    assert_eq!(mem.log.take(), [(0x20, 2, false), (0x22, 2, false), (0x34, 8, false), (0x44, 2, false)]);
}

#[test]
fn device_area_reader_sees_what_was_written() {
    let mem = LogMem::new();
    let area = DeviceArea::new(&mem, layout(4), DriverAddr(BASE + 0x20)).unwrap();
    let reader = area.reader().unwrap();
    assert_eq!(mem.rights.take(), [Access::Write, Access::Read]);
    area.set_flags(UsedFlags::NO_NOTIFY).unwrap();
    area.set_used(RingIndex::new(6), UsedElement::new(DescriptorIndex(1), 0)).unwrap();
    area.publish(RingIndex::new(7)).unwrap();
    area.set_avail_event(RingIndex::new(0x8001)).unwrap();
    assert_eq!(reader.flags(), Ok(UsedFlags::NO_NOTIFY));
    assert_eq!((reader.index(), reader.avail_event()), (Ok(RingIndex::new(7)), Ok(RingIndex::new(0x8001))));
    let element = reader.used(RingIndex::new(6)).unwrap();
    assert_eq!((element, element.is_empty()), (UsedElement::new(DescriptorIndex(1), 0), true));
}

/// Memory that may be written and not read has no used ring to look at.
#[test]
fn device_area_for_reading_where_reading_is_denied_refused() {
    let mem = WriteOnlyMem(LogMem::new());
    let addr = DriverAddr(BASE);
    let area = DeviceArea::new(&mem, layout(4), addr).unwrap();
    let denied = AreaError::from(TranslateError::Denied { addr, access: Access::Read });
    assert_eq!(area.reader().err(), Some(denied));
    assert_eq!(DeviceArea::for_reading(&mem, layout(4), addr).err(), Some(denied));
}

/// Memory that the device may only write.
struct WriteOnlyMem(LogMem);

impl DriverMem for WriteOnlyMem {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        match access {
            Access::Write => self.0.translate(range, access),
            _ => Err(TranslateError::Denied { addr: range.start(), access }),
        }
    }
}

/// LAY-1, LAY-2, DRV-CFG-1: each area one byte or two off, on either side of what is allowed.
#[test]
fn areas_misaligned_or_beyond_memory_refused() {
    let mem = LogMem::new();
    let layout = layout(8);
    let end = BASE + 0x1000;
    let (driver_len, device_len) = (layout.driver_area_len() as u64, layout.device_area_len() as u64);

    let descriptor = |addr| DescriptorArea::new(&mem, layout, DriverAddr(addr)).err();
    let driver = |addr| DriverArea::new(&mem, layout, DriverAddr(addr)).err();
    let device = |addr| DeviceArea::new(&mem, layout, DriverAddr(addr)).err();
    let misaligned = |addr, align| Some(AreaError::Misaligned { addr: DriverAddr(addr), align });
    let unmapped = |addr| Some(AreaError::Translate(TranslateError::Unmapped { addr: DriverAddr(addr) }));

    assert_eq!(descriptor(BASE + 15), misaligned(BASE + 15, 16));
    assert_eq!(descriptor(BASE + 8), misaligned(BASE + 8, 16));
    assert_eq!(descriptor(end - 128), None);
    assert_eq!(descriptor(end - 112), unmapped(end));
    assert_eq!(descriptor(u64::MAX - 15), unmapped(u64::MAX - 15));
    assert_eq!(driver(BASE + 1), misaligned(BASE + 1, 2));
    assert_eq!(driver(end - driver_len), None);
    assert_eq!(driver(end - driver_len + 2), unmapped(end));
    assert_eq!(device(BASE + 2), misaligned(BASE + 2, 4));
    assert_eq!(device(end - device_len - 2), None);
    assert_eq!(device(end - device_len + 2), unmapped(end));
    assert_eq!(mem.log.take(), [], "an area is proved without being accessed");
}
