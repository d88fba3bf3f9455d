//! What a kick says (FD-10).

use virtio_fake_driver::{
    AnyDriver, DriverChain, DriverOptions, NotificationData, PackedDriver, SplitDriver, features,
};

use crate::support::heap;

fn options(start: u16) -> DriverOptions {
    DriverOptions { start: Some(start), ..Default::default() }
}

/// NOTIF-2, NOTIF-7, FD-10
#[test]
fn data_has_the_queue_in_the_lower_half_in_either_order_of_bytes() {
    let data = NotificationData { queue: 3, position: 0x8005 };
    assert_eq!(data.to_le_bytes(), 0x8005_0003_u32.to_le_bytes());
    assert_eq!(data.to_be_bytes(), 0x8005_0003_u32.to_be_bytes());
    let config_data = NotificationData { queue: 0xabcd, ..data };
    assert_eq!(config_data.to_be_bytes(), [0x80, 0x05, 0xab, 0xcd]);
}

/// NOTIF-3, FD-10
#[test]
fn split_driver_names_the_available_index() {
    let mut driver = SplitDriver::new(heap(), 8, options(0x8000));
    driver.stage(&DriverChain::new().writable(1)).unwrap();
    assert_eq!(driver.notification_data(3), NotificationData { queue: 3, position: 0x8000 });
    driver.publish();
    assert_eq!(driver.notification_data(3), NotificationData { queue: 3, position: 0x8001 });
}

/// NOTIF-4, NOTIF-5, FD-10
#[test]
fn packed_driver_names_the_next_slot_and_its_wrap_counter() {
    for (start, expected) in [(0x8000, 0x8002), (0x8003, 0x0000), (0x8004, 0x0001), (0x0003, 0x8000)] {
        let mut driver = PackedDriver::new(heap(), 5, options(start));
        assert_eq!(driver.notification_data(0).position, start);
        driver.add(&DriverChain::new().writable(1).writable(1)).unwrap();
        assert_eq!(driver.notification_data(7), NotificationData { queue: 7, position: expected });
        assert_eq!(driver.notification_data(7), NotificationData { queue: 7, position: expected });
    }
}

#[test]
fn driver_of_any_format_goes_by_the_features() {
    let position = |features, start| {
        let mut driver = AnyDriver::new(heap(), 4, DriverOptions { features, ..options(start) });
        driver.add(&DriverChain::new().writable(1)).unwrap();
        driver.notification_data(0).position
    };
    assert_eq!(position(0, 3), 4);
    assert_eq!(position(features::RING_PACKED, 3), 0x8000);
}
