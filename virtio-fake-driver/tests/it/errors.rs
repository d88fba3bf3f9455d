//! What errors and violations say.

use virtio_fake_driver::{AddError, DeviceViolation};

#[test]
fn errors_say_what_was_wrong_and_what_would_be_right() {
    let texts = [
        (
            AddError::NoDescriptors { needed: 3, free: 2 }.to_string(),
            "the chain takes 3 descriptors, but only 2 are free: reap used buffers first",
        ),
        (
            AddError::NoMemory { len: 4096 }.to_string(),
            "the pool has no free block of 4096 bytes for the chain: make the memory larger",
        ),
        (
            DeviceViolation::TooManyUsed { used: 9, available: 8 }.to_string(),
            "the device used 9 buffers, but only 8 were available: it must use at most those",
        ),
        (
            DeviceViolation::UnknownId { id: 7 }.to_string(),
            "the device used buffer 7, which is not available: it must use each available buffer once",
        ),
        (
            DeviceViolation::OutOfOrder { id: 7, skipped: 2 }.to_string(),
            "the device used buffer 7 and skipped 2 before it: with IN_ORDER it must use those first",
        ),
        (
            DeviceViolation::TooLong { id: 7, len: 10, writable: 9 }.to_string(),
            "the device reports 10 written bytes in buffer 7: it must report at most 9",
        ),
    ];
    for (text, expected) in texts {
        assert_eq!(text, expected);
    }
}
