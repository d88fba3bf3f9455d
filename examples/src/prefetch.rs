//! Prefetches bytes that a device will need soon.

use virtio_mem_traits::DeviceRange;

/// The number of bytes in a cache line.
const LINE: usize = 64;

/// The number of lines to prefetch. For the rest of a long packet, the processor prefetches itself.
const LINES: usize = 2;

/// Begins to bring the first bytes of `range` into the cache, to be read.
#[inline]
pub(crate) fn prefetch_to_read(range: DeviceRange<'_>) {
    #[cfg(target_arch = "x86_64")]
    for line in lines(range) {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is a hint, and does nothing if there is no memory.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = range;
}

/// Begins to bring the first bytes of `range` into the cache, to be written.
#[inline]
pub(crate) fn prefetch_to_write(range: DeviceRange<'_>) {
    #[cfg(target_arch = "x86_64")]
    for line in lines(range) {
        use core::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: a prefetch is a hint, and does nothing if there is no memory.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(line.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = range;
}

/// Returns the address of a byte in each of the first lines of `range`. Several addresses can be in the same line.
#[cfg(target_arch = "x86_64")]
#[inline]
fn lines(range: DeviceRange<'_>) -> [*const u8; LINES] {
    let start = range.as_ptr().as_ptr().cast_const();
    let last = range.len().saturating_sub(1);
    core::array::from_fn(|line| start.wrapping_add(last.min(line * LINE)))
}
