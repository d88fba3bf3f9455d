//! Descriptors, available and used.

use virtio_mem_traits::{DriverAddr, DriverRange};
use virtio_ring::packed::{
    BufferId, Descriptor, DescriptorArea, DescriptorFlags, DescriptorIndex, Layout, UsedDescriptor,
};

use super::{at, size};
use crate::support::{BASE, LogMem};

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
