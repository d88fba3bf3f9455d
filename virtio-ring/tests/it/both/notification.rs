//! What a driver's notification says, byte by byte.

use virtio_ring::packed::OffWrap;
use virtio_ring::split::RingIndex;
use virtio_ring::{DriverNotification, NextHint};

/// NOTIF-1, DRV-NOT-1, GEN-6, FEAT-18, FEAT-17: 16 bits are a queue, of which there may be 65,536, or what the device
/// has chosen for it; and they say nothing else.
#[test]
fn notification_of_16_bits_names_queue() {
    for queue in 0..=u16::MAX {
        let notification = DriverNotification::from_le_bytes16(queue.to_le_bytes());
        assert_eq!(notification, DriverNotification { queue, next: None });
        assert_eq!(notification.bits(), queue.into());
    }
    assert_eq!(DriverNotification::from_le_bytes16([0x02, 0x01]).queue, 0x0102);
}

/// NOTIF-2, NOTIF-4, FEAT-17: the queue in the lower half, then 15 bits of offset, then the wrap counter.
#[test]
fn notification_of_32_bits_matches_golden_bytes() {
    let notification = DriverNotification::from_le_bytes32([0x03, 0x00, 0x05, 0x80]);
    assert_eq!((notification.queue, notification.bits()), (3, 0x8005_0003));
    let next = notification.next.unwrap();
    assert_eq!(next.packed(), OffWrap::new(5, true));
    assert_eq!(next, NextHint::from_packed(OffWrap::new(5, true)));
    let without_wrap = DriverNotification::from_le_bytes32([0xff, 0xff, 0xff, 0x7f]);
    assert_eq!((without_wrap.queue, without_wrap.next.unwrap().packed()), (0xffff, OffWrap::new(0x7fff, false)));
}

/// NOTIF-3: for a split ring, the upper half is the available index.
#[test]
fn notification_of_split_ring_names_index() {
    let next = DriverNotification::from_le_bytes32([0, 0, 0x01, 0x80]).next.unwrap();
    assert_eq!(next.split(), RingIndex::new(0x8001));
    assert_eq!(next, NextHint::from_split(RingIndex::new(0x8001)));
}

/// NOTIF-7, END-4, DRV-NOT-2: channel I/O has the same number, the other way round.
#[test]
fn notification_of_channel_io_is_big_endian() {
    for number in [0x8005_0003, 0x0102_0304, 0, u32::MAX, 0x7fff_8000_u32] {
        let big = DriverNotification::from_be_bytes32(number.to_be_bytes());
        assert_eq!(big, DriverNotification::from_le_bytes32(number.to_le_bytes()));
        assert_eq!(big.bits(), number);
    }
    assert_eq!(DriverNotification::from_be_bytes32([0x80, 0x05, 0x00, 0x03]).queue, 3);
}

/// NOTIF-8, DRV-NOT-1, NOTIF-1: how wide a notification is depends on NOTIFICATION_DATA, and what its lower half stands
/// for on NOTIF_CONFIG_DATA: neither on the other.
#[test]
fn width_and_meaning_are_independent() {
    let (index, config_data) = (0x0003_u16, 0xbeef_u16);
    for lower in [index, config_data] {
        assert_eq!(DriverNotification::from_le_bytes16(lower.to_le_bytes()).queue, lower);
        let [low, high] = lower.to_le_bytes();
        let with_data = DriverNotification::from_le_bytes32([low, high, 7, 0]);
        assert_eq!((with_data.queue, with_data.next.unwrap().packed().offset()), (lower, 7));
    }
}

/// NOTIF-6, HOST-24: every value there is says something, and nothing is checked: it is a hint.
#[test]
fn notification_of_every_upper_half_decoded() {
    for upper in 0..=u16::MAX {
        let notification = DriverNotification::from_le_bytes32((u32::from(upper) << 16 | 1).to_le_bytes());
        let next = notification.next.unwrap();
        assert_eq!((next.packed().bits(), next.split().get()), (upper, upper));
    }
}
