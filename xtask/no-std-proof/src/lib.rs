//! The proof that the layers need neither the standard library nor an allocator: a device for C programs.
//!
//! Linking it into a program would show more, but a static library with a panic handler of its own and without a global
//! allocator already cannot be built if any crate below it uses `std` or `alloc`.

#![no_std]

use core::panic::PanicInfo;
use core::ptr::NonNull;

use virtio_chain::ReadableChain;
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, TranslateError};
use virtio_queue_core::{DriverNotify, QueueConfig, SplitQueue};
use virtio_ring::RingFeatures;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// Memory of the caller, which the driver knows by addresses from 0 on.
struct CallersMem {
    /// INVARIANT: as `answer_all` demands of it, for as long as this value lives.
    ptr: NonNull<u8>,
    len: usize,
}

impl DriverMem for CallersMem {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        let unmapped = TranslateError::Unmapped { addr: range.start() };
        let offset = usize::try_from(range.start().0).ok().filter(|offset| *offset < self.len).ok_or(unmapped)?;
        let len = usize::try_from(range.len()).unwrap_or(usize::MAX);
        // SAFETY: (1), (2) and (3) are those of `answer_all`, and hold while `self` is borrowed.
        let all = unsafe { DeviceRange::new(self.ptr, self.len, access) };
        Ok(all.after(offset).prefix(len))
    }
}

/// A function of the caller that signals the driver.
struct Callback(extern "C" fn());

impl DriverNotify for Callback {
    fn notify(&self) {
        (self.0)();
    }
}

/// Answers every request in a split queue of 8 descriptors with what it says, and returns how many there were, or -1 if
/// there is no such queue.
///
/// # Safety
///
/// During the call, for the `len` bytes at `ptr`:
/// 1. they are valid for reads and writes from any thread;
/// 2. no Rust reference to any of them exists, and this program accesses them atomically at most;
/// 3. they lie in one allocation, and `len` is at most `isize::MAX`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn answer_all(ptr: NonNull<u8>, len: usize, notify: extern "C" fn()) -> i32 {
    let mem = CallersMem { ptr, len };
    answer(&mem, Callback(notify)).unwrap_or(-1)
}

fn answer(mem: &CallersMem, notify: Callback) -> Option<i32> {
    let config = QueueConfig::new(8, RingFeatures::VERSION_1, DriverAddr(0), DriverAddr(0x1000), DriverAddr(0x2000));
    let mut queue = SplitQueue::new(&config, mem, notify).ok()?;
    let mut answered = 0;
    let mut burst = queue.burst();
    while let Some(chain) = burst.next_chain().ok()? {
        let mut request = ReadableChain::new(chain);
        let Ok(header) = request.read_obj::<u64>() else { continue };
        let Ok(mut answer) = request.into_writable() else { continue };
        if answer.write_obj(&header).is_ok() && answer.return_prefix().is_ok() {
            answered += 1;
        }
    }
    burst.finish().ok()?;
    Some(answered)
}
