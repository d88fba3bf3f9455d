//! Packed virtqueues: layout, areas, descriptors, positions and event suppression, byte by byte.

use virtio_mem_traits::{Access, AreaError, DriverAddr, DriverRange, TranslateError};
use virtio_ring::packed::{
    BufferId, Descriptor, DescriptorArea, DescriptorFlags, DescriptorIndex, DescriptorTable, DeviceArea, DriverArea,
    EventSuppression, Layout, NotificationMode, OffWrap, QueueSize, RingPosition, TableError, UsedDescriptor,
};
use zerocopy::IntoBytes;

use crate::log_mem::{BASE, LogMem};

fn size(size: u16) -> QueueSize {
    QueueSize::new(size).unwrap()
}

/// A place in a ring.
fn at(ring: u16, slot: u16, wrap: bool) -> RingPosition {
    RingPosition::from_off_wrap(OffWrap::new(slot, wrap), size(ring)).unwrap()
}

/// LAY-7, LAY-8: the lengths and alignments of the areas, and where the fields are.
#[test]
fn layout_matches_the_table_of_the_specification() {
    for n in [1, 2, 3, 255, 256, 257, 32767, 32768] {
        let layout = Layout::new(size(n));
        assert_eq!(layout.descriptor_area_len(), 16 * usize::from(n));
        assert_eq!((layout.driver_area_len(), layout.device_area_len()), (4, 4));
        assert_eq!(layout.size(), size(n));
    }
    let fields = [Layout::descriptor_len(0), Layout::descriptor_id(0), Layout::descriptor_flags(0)];
    assert_eq!(fields, [8, 12, 14]);
    let fields = [Layout::descriptor_len(32767), Layout::descriptor_id(32767), Layout::descriptor_flags(32767)];
    assert_eq!(fields, [524_280, 524_284, 524_286]);
    assert_eq!((Layout::DESCRIPTOR_AREA_ALIGN, Layout::DRIVER_AREA_ALIGN, Layout::DEVICE_AREA_ALIGN), (16, 4, 4));
}

/// LAY-12, END-1, PACK-IND-6: no padding, little-endian, flags at offset 14.
#[test]
fn descriptor_matches_golden_bytes() {
    let flags = DescriptorFlags::WRITE.union(DescriptorFlags::AVAIL);
    let descriptor = Descriptor::new(DriverAddr(0x0102_0304_0506_0708), 0x0a0b_0c0d, BufferId(0x1112), flags);
    assert_eq!(descriptor.as_bytes(), [8, 7, 6, 5, 4, 3, 2, 1, 0xd, 0xc, 0xb, 0xa, 0x12, 0x11, 0x82, 0]);
    assert_eq!((descriptor.addr().0, descriptor.len()), (0x0102_0304_0506_0708, 0x0a0b_0c0d));
    assert_eq!((descriptor.id(), descriptor.flags(), Descriptor::SIZE), (BufferId(0x1112), flags, 16));
    assert!(!descriptor.is_empty() && Descriptor::default().is_empty());
    let constants = [1, 2, 4, 1 << 7, 1 << 15].map(DescriptorFlags);
    assert_eq!(
        constants,
        [
            DescriptorFlags::NEXT,
            DescriptorFlags::WRITE,
            DescriptorFlags::INDIRECT,
            DescriptorFlags::AVAIL,
            DescriptorFlags::USED,
        ]
    );
}

/// HOST-9, HOST-10, HOST-14: a range is checked for its end alone.
#[test]
fn descriptor_range_ends_at_the_top_at_most() {
    let range = |addr, len| Descriptor::new(DriverAddr(addr), len, BufferId(0), DescriptorFlags(0)).range();
    assert_eq!(range(u64::MAX, 1), DriverRange::new(DriverAddr(u64::MAX), 1));
    assert_eq!(range(u64::MAX, 2), None);
    assert_eq!(range(u64::MAX - 255, 512), None);
    assert!(range(u64::MAX, 0).unwrap().is_empty());
}

/// PACK-WRAP-2, PACK-WRAP-5, HOST-18: available is AVAIL equal to the counter and USED not, whatever the other bits
/// are.
#[test]
fn flags_available_only_in_their_lap() {
    for flags in 0..=u16::MAX {
        let (avail, used) = (flags >> 7 & 1, flags >> 15);
        assert_eq!(DescriptorFlags(flags).is_available(true), (avail, used) == (1, 0), "{flags:#x}");
        assert_eq!(DescriptorFlags(flags).is_available(false), (avail, used) == (0, 1), "{flags:#x}");
    }
}

/// PACK-WRAP-3: used is both bits equal to the counter, whatever the other bits are.
#[test]
fn flags_used_only_in_their_lap() {
    for flags in 0..=u16::MAX {
        let (avail, used) = (flags >> 7 & 1, flags >> 15);
        assert_eq!(DescriptorFlags(flags).is_used(true), (avail, used) == (1, 1), "{flags:#x}");
        assert_eq!(DescriptorFlags(flags).is_used(false), (avail, used) == (0, 0), "{flags:#x}");
    }
}

/// What a tool sees of a used descriptor is what the device wrote.
#[test]
fn used_descriptor_of_a_descriptor_is_what_was_written() {
    let mem = LogMem::new();
    let area = DescriptorArea::new(&mem, Layout::new(size(5)), DriverAddr(BASE)).unwrap();
    for (len, wrap) in [(0, true), (7, true), (0, false), (u32::MAX, false)] {
        let used = UsedDescriptor::new(BufferId(0x0203), len, wrap);
        area.set_used(at(5, 1, wrap), used).unwrap();
        let read = UsedDescriptor::from(area.table().get(DescriptorIndex(1)).unwrap());
        assert_eq!(read, used);
        assert!(read.flags.is_used(wrap) && !read.flags.is_used(!wrap));
    }
}

/// PACK-WRAP-3, PACK-USED-4, PACK-USED-5, PACK-USED-7: both bits are the counter, WRITE is whether anything was
/// written, and there is nothing else.
#[test]
fn used_descriptor_has_these_flags() {
    for len in [0, 1, 2, 0x8000_0000, u32::MAX] {
        for (wrap, bits) in [(true, 0x8080), (false, 0)] {
            let used = UsedDescriptor::new(BufferId(0xffff), len, wrap);
            let flags = DescriptorFlags(bits | if len == 0 { 0 } else { 2 });
            assert_eq!(used, UsedDescriptor { len, id: BufferId(0xffff), flags });
        }
    }
}

/// PACK-WRAP-1, PACK-WRAP-4, REG-2, AMB-12: positions against a count without end, for every step in small rings and
/// for the large ones near their ends. The counter flips with every pass of the end, by exactly N too.
#[test]
fn ring_position_advances_as_modelled() {
    let model = |n: u16, position: u32| {
        let (lap, slot) = (position / u32::from(n), position % u32::from(n));
        (slot as u16, lap % 2 == 0)
    };
    let start = RingPosition::START;
    assert_eq!((start.slot(), start.wrap(), start.off_wrap().bits()), (0, true, 0x8000));
    for n in [1, 2, 3, 5, 8, 255, 32767, 32768] {
        let lap = u32::from(n);
        let near = |around: u32| (around.saturating_sub(3)..around + 3).collect::<Vec<_>>();
        for from in [near(0), near(lap), near(2 * lap)].concat() {
            let (slot, wrap) = model(n, from);
            for step in [near(0), near(lap), near(2 * lap)].concat().into_iter().filter(|step| *step <= 0xffff) {
                let reached = at(n, slot, wrap).advanced(step as u16, size(n));
                let expected = model(n, from + step);
                assert_eq!((reached.slot(), reached.wrap()), expected, "{step} from {from} in {n}");
                assert_eq!(reached.off_wrap(), OffWrap::new(expected.0, expected.1));
            }
        }
    }
}

/// HOST-30, EVA-16: of all places that may be named, a ring has those inside of it.
#[test]
fn ring_position_outside_of_ring_is_none() {
    for n in [1, 3, 256, 32767, 32768] {
        for bits in 0..=u16::MAX {
            let place = OffWrap::from_bits(bits);
            let position = RingPosition::from_off_wrap(place, size(n));
            assert_eq!(position.map(|position| position.off_wrap()), Some(place).filter(|_| bits & 0x7fff < n));
        }
    }
}

/// PACK-EVT-3, PACK-EVT-4, PACK-EVT-5, END-3: what is written: the place in the lower half, the mode above it, no
/// reserved bit.
#[test]
fn event_suppression_written_as_golden_bits() {
    let place = OffWrap::new(5, true);
    for (mode, bytes) in [
        (NotificationMode::Enable, [0, 0, 0, 0]),
        (NotificationMode::Disable, [0, 0, 1, 0]),
        (NotificationMode::Descriptor(place), [5, 0x80, 2, 0]),
    ] {
        let events = EventSuppression::new(mode);
        assert_eq!(events.bits().to_le_bytes(), bytes);
        assert_eq!(EventSuppression::from_bits(events.bits()).mode(true), mode);
    }
    for bits in 0..=u16::MAX {
        let events = EventSuppression::new(NotificationMode::Descriptor(OffWrap::from_bits(bits)));
        assert_eq!(events.bits(), 2 << 16 | u32::from(bits));
    }
}

/// HOST-21, AMB-11, PACK-EVT-3, PACK-EVT-6: what is read: two bits are the mode. The reserved one, and a place without
/// EVENT_IDX, are taken for all notifications; all other bits are ignored.
#[test]
fn event_suppression_of_every_value_is_a_mode() {
    for flags in 0..=u16::MAX {
        for place in [0, 0x8003, 0xffff] {
            let events = EventSuppression::from_bits(u32::from(flags) << 16 | u32::from(place));
            let named = NotificationMode::Descriptor(OffWrap::from_bits(place));
            let expected = match flags & 3 {
                1 => [NotificationMode::Disable; 2],
                2 => [NotificationMode::Enable, named],
                _ => [NotificationMode::Enable; 2],
            };
            assert_eq!([events.mode(false), events.mode(true)], expected, "{flags:#x}");
        }
    }
}

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
