//! Event suppression, bit by bit.

use virtio_ring::packed::{EventSuppression, NotificationMode, OffWrap};

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
