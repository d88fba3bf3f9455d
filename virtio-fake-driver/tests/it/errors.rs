//! What errors and violations say.

use virtio_fake_driver::{AddError, DeviceViolation};

#[test]
fn errors_say_what_was_wrong_and_what_would_be_right() {
    let texts = [
        (
            AddError::NoDescriptors { needed: 3, free: 2 }.to_string(),
            "the chain takes 3 descriptors, and 2 are free: reap used buffers first",
        ),
        (
            AddError::NoMemory { len: 4096 }.to_string(),
            "the chain takes 4096 bytes in one place, which the pool does not have: make the memory larger",
        ),
        (
            DeviceViolation::TooManyUsed { used: 9, available: 8 }.to_string(),
            "the device used 9 buffers, and 8 were available: it can use no more than those",
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
            "used length 10 of buffer 7 is more than the 9 bytes that the device can write",
        ),
    ];
    for (text, expected) in texts {
        assert_eq!(text, expected);
    }
}
