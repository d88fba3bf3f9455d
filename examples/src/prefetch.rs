//! Bytes that will be needed soon.

use virtio_mem_traits::DeviceRange;

/// The bytes that a processor moves at a time.
const LINE: usize = 64;

/// How many of them are worth it: for the rest of a long packet, the processor sees by itself where that leads.
const LINES: usize = 2;

/// Begins to bring the first bytes of `range` into the cache, to be read.
#[inline]
pub(crate) fn prefetch_to_read(range: DeviceRange<'_>) {
    #[cfg(target_arch = "x86_64")]
    for line in lines(range) {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: it is a hint, and does nothing where there is no memory.
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
        // SAFETY: it is a hint, and does nothing where there is no memory.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(line.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = range;
}

/// Returns a byte in each of the first lines of `range`, which may be the same one.
#[cfg(target_arch = "x86_64")]
#[inline]
fn lines(range: DeviceRange<'_>) -> [*const u8; LINES] {
    let start = range.as_ptr().as_ptr().cast_const();
    let last = range.len().saturating_sub(1);
    core::array::from_fn(|line| start.wrapping_add(last.min(line * LINE)))
}
