//! How sizes and flags are displayed.

use virtio_ring::split::{AvailableFlags, DescriptorFlags, UsedFlags};
use virtio_ring::{QueueSizeError, packed};

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

/// SPLIT-DESC-8: bits without a name are shown, and mean nothing.
#[test]
fn flags_displayed_by_name() {
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
