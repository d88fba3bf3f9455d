//! Sizes, offsets, and the structures byte by byte.

use virtio_mem_traits::DriverAddr;
use virtio_ring::QueueSizeError;
use virtio_ring::split::{Descriptor, DescriptorFlags, DescriptorIndex, Layout, QueueSize, RingIndex, UsedElement};
use zerocopy::IntoBytes;

/// LAY-3: powers of two up to 2^15.
#[test]
fn size_only_powers_of_two() {
    for size in 0..=u16::MAX {
        let expected = size != 0 && size & (size - 1) == 0;
        assert_eq!(QueueSize::new(size).is_ok(), expected, "{size}");
    }
    assert_eq!(QueueSize::new(3), Err(QueueSizeError::Split { size: 3 }));
    assert_eq!((QueueSize::MAX.get(), QueueSize::MAX.last_slot()), (32768, 32767));
    assert_eq!(format!("{:?}", QueueSize::MAX), "QueueSize(32768)");
}

/// LAY-1, LAY-2: the lengths of the areas, with the field for events that is always there.
#[test]
fn layout_matches_the_table_of_the_specification() {
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
fn structures_match_golden_bytes() {
    let flags = DescriptorFlags::NEXT.union(DescriptorFlags::WRITE);
    let descriptor = Descriptor::new(DriverAddr(0x0102_0304_0506_0708), 0x0a0b_0c0d, flags, DescriptorIndex(0x1112));
    assert_eq!(descriptor.as_bytes(), [8, 7, 6, 5, 4, 3, 2, 1, 0xd, 0xc, 0xb, 0xa, 3, 0, 0x12, 0x11]);

    // SPLIT-USED-5: the upper half of the identifier is 0.
    let element = UsedElement::new(DescriptorIndex(0xfffe), 0x0102_0304);
    assert_eq!(element.as_bytes(), [0xfe, 0xff, 0, 0, 4, 3, 2, 1]);
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
