//! Sizes, offsets, and the structures byte by byte.

use virtio_mem_traits::DriverAddr;
use virtio_ring::QueueSizeError;
use virtio_ring::packed::{BufferId, Descriptor, DescriptorFlags, Layout, OffWrap, QueueSize};
use zerocopy::IntoBytes;

use super::size;

/// LAY-8: everything from 1 to 2^15.
#[test]
fn size_up_to_32768() {
    for size in 0..=u16::MAX {
        assert_eq!(QueueSize::new(size).is_ok(), (1..=32768).contains(&size), "{size}");
    }
    assert_eq!(QueueSize::new(32769), Err(QueueSizeError::Packed { size: 32769 }));
    assert_eq!(QueueSize::MAX.get(), 32768);
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

/// END-3: bits are counted from the least significant one.
#[test]
fn off_wrap_matches_golden_bits() {
    let place = OffWrap::new(5, true);
    assert_eq!(place.bits().to_le_bytes(), [0x05, 0x80]);
    assert_eq!((place.offset(), place.wrap()), (5, true));
    assert_eq!(OffWrap::new(0xffff, false).bits(), 0x7fff);
}
