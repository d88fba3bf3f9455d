//! Sizes, offsets, and the structures byte by byte.

use virtio_mem_traits::DriverAddr;
use virtio_ring::split::{
    AvailableFlags, Descriptor, DescriptorFlags, DescriptorIndex, Layout, QueueSize, RingIndex, UsedElement, UsedFlags,
};
use virtio_ring::{QueueSizeError, packed};
use zerocopy::IntoBytes;

/// LAY-3: powers of two up to 2^15.
#[test]
fn split_size_only_powers_of_two() {
    for size in 0..=u16::MAX {
        let expected = size != 0 && size & (size - 1) == 0;
        assert_eq!(QueueSize::new(size).is_ok(), expected, "{size}");
    }
    assert_eq!(QueueSize::new(3), Err(QueueSizeError::Split { size: 3 }));
    assert_eq!((QueueSize::MAX.get(), QueueSize::MAX.last_slot()), (32768, 32767));
    assert_eq!(format!("{:?}", QueueSize::MAX), "QueueSize(32768)");
}

/// LAY-8: everything from 1 to 2^15.
#[test]
fn packed_size_up_to_32768() {
    for size in 0..=u16::MAX {
        assert_eq!(packed::QueueSize::new(size).is_ok(), (1..=32768).contains(&size), "{size}");
    }
    assert_eq!(packed::QueueSize::new(32769), Err(QueueSizeError::Packed { size: 32769 }));
    assert_eq!(packed::QueueSize::MAX.get(), 32768);
}

#[test]
fn size_errors_are_displayed_with_what_would_be_right() {
    for (error, expected) in [
        (
            QueueSizeError::Split { size: 24 },
            "queue size 24: it must be a power of two from 1 to 32768 for a split virtqueue",
        ),
        (QueueSizeError::Packed { size: 0 }, "queue size 0: it must be from 1 to 32768 for a packed virtqueue"),
    ] {
        assert_eq!(error.to_string(), expected);
    }
}

/// LAY-1, LAY-2: the lengths of the areas, with the field for events that is always there.
#[test]
fn split_layout_matches_the_table_of_the_specification() {
    for shift in 0..=15 {
        let n = 1_usize << shift;
        let layout = Layout::new(QueueSize::new(1 << shift).unwrap());
        assert_eq!(layout.descriptor_area_len(), 16 * n);
        assert_eq!(layout.driver_area_len(), 6 + 2 * n);
        assert_eq!(layout.device_area_len(), 6 + 8 * n);
        assert_eq!(layout.used_event(), 4 + 2 * n);
        assert_eq!(layout.avail_event(), 4 + 8 * n);
    }
    assert_eq!((Layout::available_entry(3), Layout::used_element(3)), (10, 28));
    assert_eq!((Layout::FLAGS, Layout::INDEX), (0, 2));
    assert_eq!((Layout::DESCRIPTOR_AREA_ALIGN, Layout::DRIVER_AREA_ALIGN, Layout::DEVICE_AREA_ALIGN), (16, 2, 4));
}

/// LAY-12, END-1: no padding, little-endian.
#[test]
fn split_structures_match_golden_bytes() {
    let flags = DescriptorFlags::NEXT.union(DescriptorFlags::WRITE);
    let descriptor = Descriptor::new(DriverAddr(0x0102_0304_0506_0708), 0x0a0b_0c0d, flags, DescriptorIndex(0x1112));
    assert_eq!(descriptor.as_bytes(), [8, 7, 6, 5, 4, 3, 2, 1, 0xd, 0xc, 0xb, 0xa, 3, 0, 0x12, 0x11]);

    // SPLIT-USED-5: the upper half of the identifier is 0.
    let element = UsedElement::new(DescriptorIndex(0xfffe), 0x0102_0304);
    assert_eq!(element.as_bytes(), [0xfe, 0xff, 0, 0, 4, 3, 2, 1]);
}

/// END-3: bits are counted from the least significant one.
#[test]
fn packed_off_wrap_matches_golden_bits() {
    let place = packed::OffWrap::new(5, true);
    assert_eq!(place.bits().to_le_bytes(), [0x05, 0x80]);
    assert_eq!((place.offset(), place.wrap()), (5, true));
    assert_eq!(packed::OffWrap::new(0xffff, false).bits(), 0x7fff);
}

/// SPLIT-AVAIL-2, SPLIT-USED-7: indices run freely, slots are taken modulo the size.
#[test]
fn ring_index_runs_past_its_end() {
    for shift in 0..=15 {
        let size = QueueSize::new(1 << shift).unwrap();
        for index in [0, 1, 0x7fff, 0x8000, 0xfffe, 0xffff] {
            assert_eq!(RingIndex::new(index).slot(size), index % size.get());
        }
    }
    let index = RingIndex::new(0xfffd).advanced(5);
    assert_eq!((index.get(), index.distance_from(RingIndex::new(0xfffd))), (2, 5));
}

/// SPLIT-DESC-8: bits without a name are shown, and mean nothing.
#[test]
fn flags_displayed_by_name_in_both_formats() {
    for (bits, split, packed) in [
        (0, "none", "none"),
        (3, "NEXT | WRITE", "NEXT | WRITE"),
        (7, "NEXT | WRITE | INDIRECT", "NEXT | WRITE | INDIRECT"),
        (0x8, "bit 3", "bit 3"),
        (0x8081, "NEXT | bit 7 | bit 15", "NEXT | AVAIL | USED"),
    ] {
        let flags = (DescriptorFlags(bits), packed::DescriptorFlags(bits));
        assert_eq!((flags.0.to_string(), flags.1.to_string()), (split.into(), packed.into()));
        assert_eq!(format!("{flags:?}"), format!("(DescriptorFlags({split}), DescriptorFlags({packed}))"));
    }
    assert_eq!(
        format!("{:?} {:?}", UsedFlags(3), AvailableFlags(1)),
        "UsedFlags(NO_NOTIFY | bit 1) AvailableFlags(NO_INTERRUPT)"
    );
}
