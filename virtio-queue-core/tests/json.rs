//! Saved queues that are serialized, and tampered with on the way.
//!
//! It is a program of its own because `serde_json` compares its values with numbers of every type: where it is in use, no
//! other test could leave the type of a sum open.

#![cfg(feature = "serde")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::std_instead_of_alloc, reason = "a test has std")]

use std::sync::Arc;

use virtio_fake_driver::PackedDriver;
use virtio_mem_traits::{DriverAddr, HeapMem};
use virtio_queue_core::packed::PackedRing;
use virtio_queue_core::{FromConfig, PackedQueue, QueueLimits, RestoreError, SavedQueue};
use virtio_util::NotificationCounter;

/// Makes a queue of 8 of what was saved.
fn restore(saved: &SavedQueue) -> Result<(), RestoreError> {
    let heap = Arc::new(HeapMem::new(DriverAddr(0), 0x1000).unwrap());
    let driver = PackedDriver::new(Arc::clone(&heap), 8, virtio_fake_driver::DriverOptions::default());
    let ring = PackedRing::from_config(&driver.queue_config(QueueLimits::default()), heap).unwrap();
    PackedQueue::restore(ring, NotificationCounter::new(), saved).map(drop)
}

/// SUSP-6, HOST-30: there and back as JSON, for which the names of the fields are part of the version.
#[test]
fn saved_queue_survives_json() {
    for position in [0, 1, 0x7fff, 0x8000, 0xffff_u16] {
        for saved in [
            SavedQueue::from_split_vring_base(position.into()),
            SavedQueue::from_packed_vring_base(u32::from(position) << 16 | 7),
        ] {
            let json = serde_json::to_string(&saved).unwrap();
            assert_eq!(serde_json::from_str::<SavedQueue>(&json).unwrap(), saved, "{json}");
        }
    }
    let json = serde_json::to_string(&SavedQueue::from_split_vring_base(3)).unwrap();
    assert_eq!(json, r#"{"version":1,"next_available":3,"next_used":3}"#);
}

/// HOST-30: tampered with, field by field: a version that is not known, and positions that the ring does not have.
#[test]
fn tampered_json_refused() {
    let saved = |version: u16, available: u16, used: u16| -> SavedQueue {
        let json = format!(r#"{{"version":{version},"next_available":{available},"next_used":{used}}}"#);
        serde_json::from_str(&json).unwrap()
    };
    assert_eq!(restore(&saved(SavedQueue::VERSION, 0x8007, 0x8007)), Ok(()));
    for version in [0, 2, 3, 0xffff] {
        assert_eq!(restore(&saved(version, 0x8000, 0x8000)), Err(RestoreError::Version(version)));
    }
    for (available, used) in [(8, 8), (0x8008, 0x8008), (0x8000, 0), (1, 2), (0xffff, 0xffff)] {
        let tampered = saved(SavedQueue::VERSION, available, used);
        assert_eq!(restore(&tampered), Err(RestoreError::Position(tampered)));
    }
    for json in ["{}", "null", r#"{"version":1,"next_available":65536,"next_used":0}"#, r#"{"version":1}"#] {
        assert!(serde_json::from_str::<SavedQueue>(json).is_err(), "{json}");
    }
}
