//! Saved queues that are serialized, and tampered with on the way.
//!
//! It is a program of its own because `serde_json` compares its values with numbers of every type: where it is in use,
//! no other test could leave the type of a sum open.

#![cfg(feature = "serde")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::std_instead_of_alloc, reason = "a test has std")]

use std::sync::Arc;

use virtio_fake_driver::PackedDriver;
use virtio_mem_traits::{DriverAddr, HeapMem};
use virtio_queue_core::packed::PackedRing;
use virtio_queue_core::{FromConfig, PackedQueue, QueueLimits, RestoreError, RingFeatures, SavedQueue};
use virtio_util::NotificationCounter;

/// Makes a queue of 8 of what was saved.
fn restore(saved: &SavedQueue) -> Result<(), RestoreError> {
    let heap = Arc::new(HeapMem::new(DriverAddr(0), 0x1000).unwrap());
    let driver = PackedDriver::new(Arc::clone(&heap), 8, virtio_fake_driver::DriverOptions::default());
    let ring = PackedRing::from_config(&driver.queue_config(QueueLimits::default()), heap).unwrap();
    PackedQueue::restore(ring, NotificationCounter::new(), saved).map(drop)
}

fn features(packed: bool) -> RingFeatures {
    RingFeatures::from_negotiated(1 << 32 | u64::from(packed) << 34).unwrap()
}

/// SUSP-6, HOST-30: there and back as JSON.
#[test]
fn saved_queue_survives_json() {
    for position in [0, 1, 0x7fff, 0x8000, 0xffff_u16] {
        for saved in [
            SavedQueue::at(position, position.wrapping_sub(1), features(false)),
            SavedQueue::from_vring_base(position.into(), features(false)).unwrap(),
            SavedQueue::from_vring_base(u32::from(position) << 16 | 7, features(true)).unwrap(),
        ] {
            let json = serde_json::to_string(&saved).unwrap();
            assert_eq!(serde_json::from_str::<SavedQueue>(&json).unwrap(), saved, "{json}");
        }
    }
}

/// SUSP-6: what an earlier version has written is read, and is written in the same way. Files are added here and never
/// changed.
#[test]
fn golden_files_are_read() {
    let split = SavedQueue::at(10, 7, features(false));
    let from_base = SavedQueue::from_vring_base(0xffff, features(false)).unwrap();
    let packed = SavedQueue::at(0x8009, 0x8007, features(true));
    for (json, saved) in [
        (include_str!("golden/saved-split.json"), split),
        (include_str!("golden/saved-split-from-base.json"), from_base),
        (include_str!("golden/saved-packed.json"), packed),
    ] {
        assert_eq!(serde_json::from_str::<SavedQueue>(json).unwrap(), saved, "{json}");
        assert_eq!(serde_json::to_string(&saved).unwrap(), json.trim());
    }
}

/// HOST-30: tampered with, field by field: a version that is not known, and positions that the ring does not have.
#[test]
fn tampered_json_refused() {
    let saved = |version: u16, available: u16, used: u16| -> SavedQueue {
        let positions = format!(r#"{{"packed":{{"next_available":{available},"next_used":{used}}}}}"#);
        serde_json::from_str(&format!(r#"{{"version":{version},"positions":{positions}}}"#)).unwrap()
    };
    let (known, size) = (SavedQueue::VERSION, 8);
    assert_eq!(restore(&saved(known, 0x8007, 0x8007)), Ok(()));
    for version in [0, 2, 3, 0xffff] {
        assert_eq!(restore(&saved(version, 0x8000, 0x8000)), Err(RestoreError::Version(version)));
    }
    for (available, used) in [(8, 8), (0x8008, 0x8008), (0xffff, 0xffff)] {
        let tampered = saved(known, available, used);
        assert_eq!(restore(&tampered), Err(RestoreError::Position { saved: tampered, size }));
    }
    for (available, used) in [(0x8001, 0), (1, 2)] {
        assert_eq!(restore(&saved(known, available, used)), Err(RestoreError::Lost { available, used, size }));
    }
    for json in [
        "{}",
        "null",
        r#"{"version":1}"#,
        r#"{"version":1,"positions":{"split":{"next_available":65536,"next_used":0}}}"#,
        r#"{"version":1,"positions":{"round":{"next_available":0,"next_used":0}}}"#,
    ] {
        assert!(serde_json::from_str::<SavedQueue>(json).is_err(), "{json}");
    }
}
