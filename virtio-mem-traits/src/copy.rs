//! Bulk copies between shared memory and private memory.
//!
//! The other side can write the same bytes during a copy. In Rust's memory model, a plain `memcpy` is then a data race,
//! which is undefined behaviour. Relaxed atomic accesses are not undefined. So every copy in this file has this
//! definition: **each shared byte is accessed by relaxed atomic accesses, in no particular order, possibly more than
//! once.** The private copy can mix old and new bytes. All decisions are made on the private copy.
//!
//! Rust does not define races between atomic accesses of different sizes to the same bytes. A device cannot keep a
//! driver from such a race. The hardware's memory model applies here: each byte that is read is a byte that one of the
//! two sides wrote.
//!
//! An atomic access of the standard library is one word. The compiler never merges such accesses, so a loop of them
//! costs several times as much as a `memcpy`. For this reason, the copies for x86-64 are written in assembly. The
//! effect of an `asm!` block must be one that Rust code could have. Vector moves and `rep movsb` meet this demand: each
//! is equivalent to one relaxed atomic access for each byte. AVX moves meet it too. A kernel must not use AVX, because
//! the vector registers belong to its programs. On other machines, and under Miri and sanitizers, the loops below do
//! the same in Rust.
//!
//! # Safety
//!
//! The caller of both functions guarantees:
//! 1. `shared` is valid for reads and for writes of as many bytes as the private slice has. The assembly of `copy_in`
//!    also works with memory that is mapped read-only. The loops do not, because they make atomics from the bytes that
//!    they read;
//! 2. no Rust reference to any of those bytes is alive during the call, so the private slice does not overlap them.

// Sanitizers cannot check assembly, so `--cfg virtio_portable` selects the loops for them.
#[cfg(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    target_feature = "sse2",
    not(any(miri, virtio_portable))
))]
pub(crate) use x86_64::{copy_in, copy_out};

#[cfg(not(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    target_feature = "sse2",
    not(any(miri, virtio_portable))
)))]
pub(crate) use portable::{copy_in, copy_out};

#[cfg(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    target_feature = "sse2",
    not(any(miri, virtio_portable))
))]
mod x86_64 {
    use core::arch::asm;
    use core::ptr::NonNull;

    /// From this many bytes on, `rep movsb` is faster. For fewer bytes, its start-up time is too long.
    const STRING_MOVE_FROM: usize = 768;
    /// From this many bytes on, AVX is the fastest, if the processor has AVX.
    #[cfg(feature = "avx")]
    const AVX_FROM: usize = 256;

    #[inline]
    pub(crate) unsafe fn copy_in(shared: NonNull<u8>, private: &mut [u8]) {
        // SAFETY: readable by (1), writable because it is a `&mut`, apart by (2).
        unsafe { copy(shared.as_ptr(), private.as_mut_ptr(), private.len()) }
    }

    #[inline]
    pub(crate) unsafe fn copy_out(private: &[u8], shared: NonNull<u8>) {
        // SAFETY: readable because it is a `&`, writable by (1), apart by (2).
        unsafe { copy(private.as_ptr(), shared.as_ptr(), private.len()) }
    }

    /// # Safety
    ///
    /// 1. `from` is valid for reads and `to` for writes of `len` bytes;
    /// 2. the two do not overlap.
    // PERF: if the length is known at compile time, only the moves remain (`payload-read-64`).
    #[inline(always)]
    unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY, of each arm: the arm's own condition on `len`, and (1) and (2), are what the callee demands.
        match len {
            // SAFETY: as above.
            0..16 => unsafe { copy_up_to_15(from, to, len) },
            // SAFETY: as above.
            16..32 => unsafe { copy_16_to_32(from, to, len) },
            // SAFETY: as above.
            32..=64 => unsafe { copy_32_to_64(from, to, len) },
            #[cfg(feature = "avx")]
            // SAFETY: as above, and the processor has AVX.
            AVX_FROM.. if std::arch::is_x86_feature_detected!("avx") => unsafe { copy_avx(from, to, len) },
            // SAFETY: as above.
            65.. => unsafe { copy_without_avx(from, to, len) },
        }
    }

    /// # Safety
    ///
    /// As for [`copy`], with `64 < len`.
    #[inline(always)]
    pub(super) unsafe fn copy_without_avx(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY, of each arm: as for the caller.
        match len {
            // SAFETY: as above.
            ..STRING_MOVE_FROM => unsafe { copy_from_64(from, to, len) },
            // SAFETY: as above.
            STRING_MOVE_FROM.. => unsafe { copy_string(from, to, len) },
        }
    }

    /// # Safety
    ///
    /// As for [`copy`], with `len < 16`.
    #[inline(always)]
    unsafe fn copy_up_to_15(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY, of each arm: as in `copy`.
        match len {
            0 => {}
            // SAFETY: as above.
            1..4 => unsafe { copy_bytes(from, to, len) },
            // SAFETY: as above.
            4..8 => unsafe { copy_4_to_8(from, to, len) },
            // SAFETY: as above.
            8.. => unsafe { copy_8_to_16(from, to, len) },
        }
    }

    /// # Safety
    ///
    /// As for [`copy`].
    #[inline]
    unsafe fn copy_bytes(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: accesses `len` bytes at `from` and `to`, and the registers that are named.
        unsafe {
            asm!(
                "2: movzx {byte:e}, byte ptr [{from} + {len} - 1]",
                "mov byte ptr [{to} + {len} - 1], {byte:l}",
                "dec {len}",
                "jnz 2b",
                from = in(reg) from,
                to = in(reg) to,
                len = inout(reg) len => _,
                byte = out(reg) _,
                options(nostack),
            );
        }
    }

    /// # Safety
    ///
    /// As for [`copy`], with `4 <= len <= 8`.
    #[inline]
    unsafe fn copy_4_to_8(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: the first and the last 4 bytes, which overlap but are all inside `len`.
        unsafe {
            asm!(
                "mov {head:e}, dword ptr [{from}]",
                "mov {tail:e}, dword ptr [{from} + {len} - 4]",
                "mov dword ptr [{to}], {head:e}",
                "mov dword ptr [{to} + {len} - 4], {tail:e}",
                from = in(reg) from,
                to = in(reg) to,
                len = in(reg) len,
                head = out(reg) _,
                tail = out(reg) _,
                options(nostack, preserves_flags),
            );
        }
    }

    /// # Safety
    ///
    /// As for [`copy`], with `8 <= len <= 16`.
    #[inline]
    unsafe fn copy_8_to_16(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: the first and the last 8 bytes, which overlap but are all inside `len`.
        unsafe {
            asm!(
                "mov {head}, qword ptr [{from}]",
                "mov {tail}, qword ptr [{from} + {len} - 8]",
                "mov qword ptr [{to}], {head}",
                "mov qword ptr [{to} + {len} - 8], {tail}",
                from = in(reg) from,
                to = in(reg) to,
                len = in(reg) len,
                head = out(reg) _,
                tail = out(reg) _,
                options(nostack, preserves_flags),
            );
        }
    }

    /// # Safety
    ///
    /// As for [`copy`], with `16 <= len <= 32`.
    #[inline]
    unsafe fn copy_16_to_32(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: the first and the last 16 bytes, which overlap but are all inside `len`.
        unsafe {
            asm!(
                "movups {head}, [{from}]",
                "movups {tail}, [{from} + {len} - 16]",
                "movups [{to}], {head}",
                "movups [{to} + {len} - 16], {tail}",
                from = in(reg) from,
                to = in(reg) to,
                len = in(reg) len,
                head = out(xmm_reg) _,
                tail = out(xmm_reg) _,
                options(nostack, preserves_flags),
            );
        }
    }

    /// # Safety
    ///
    /// As for [`copy`], with `32 <= len <= 64`.
    #[inline]
    unsafe fn copy_32_to_64(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: the first and the last 32 bytes, which overlap but are all inside `len`.
        unsafe {
            asm!(
                "movups {a}, [{from}]",
                "movups {b}, [{from} + 16]",
                "movups {c}, [{from} + {len} - 32]",
                "movups {d}, [{from} + {len} - 16]",
                "movups [{to}], {a}",
                "movups [{to} + 16], {b}",
                "movups [{to} + {len} - 32], {c}",
                "movups [{to} + {len} - 16], {d}",
                from = in(reg) from,
                to = in(reg) to,
                len = in(reg) len,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack, preserves_flags),
            );
        }
    }

    /// # Safety
    ///
    /// As for [`copy`], with `64 <= len`.
    #[inline]
    unsafe fn copy_from_64(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: whole blocks of 64 bytes up to `len`, then the last 64 bytes, which can overlap the last block.
        unsafe {
            asm!(
                "lea {last}, [{len} - 64]",
                "xor {at:e}, {at:e}",
                "2: movups {a}, [{from} + {at}]",
                "movups {b}, [{from} + {at} + 16]",
                "movups {c}, [{from} + {at} + 32]",
                "movups {d}, [{from} + {at} + 48]",
                "movups [{to} + {at}], {a}",
                "movups [{to} + {at} + 16], {b}",
                "movups [{to} + {at} + 32], {c}",
                "movups [{to} + {at} + 48], {d}",
                "add {at}, 64",
                "cmp {at}, {last}",
                "jb 2b",
                "movups {a}, [{from} + {last}]",
                "movups {b}, [{from} + {last} + 16]",
                "movups {c}, [{from} + {last} + 32]",
                "movups {d}, [{from} + {last} + 48]",
                "movups [{to} + {last}], {a}",
                "movups [{to} + {last} + 16], {b}",
                "movups [{to} + {last} + 32], {c}",
                "movups [{to} + {last} + 48], {d}",
                from = in(reg) from,
                to = in(reg) to,
                len = in(reg) len,
                last = out(reg) _,
                at = out(reg) _,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack),
            );
        }
    }

    /// # Safety
    ///
    /// As for [`copy`], with `128 <= len`, on a processor that has AVX.
    #[cfg(feature = "avx")]
    #[inline(never)]
    unsafe fn copy_avx(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: whole blocks of 128 bytes up to `len`, then the last 128 bytes, which can overlap the last block.
        // `vzeroupper` changes all sixteen registers.
        unsafe {
            asm!(
                "lea {last}, [{len} - 128]",
                "xor {at:e}, {at:e}",
                "2: vmovups ymm0, [{from} + {at}]",
                "vmovups ymm1, [{from} + {at} + 32]",
                "vmovups ymm2, [{from} + {at} + 64]",
                "vmovups ymm3, [{from} + {at} + 96]",
                "vmovups [{to} + {at}], ymm0",
                "vmovups [{to} + {at} + 32], ymm1",
                "vmovups [{to} + {at} + 64], ymm2",
                "vmovups [{to} + {at} + 96], ymm3",
                "sub {at}, -128",
                "cmp {at}, {last}",
                "jb 2b",
                "vmovups ymm0, [{from} + {last}]",
                "vmovups ymm1, [{from} + {last} + 32]",
                "vmovups ymm2, [{from} + {last} + 64]",
                "vmovups ymm3, [{from} + {last} + 96]",
                "vmovups [{to} + {last}], ymm0",
                "vmovups [{to} + {last} + 32], ymm1",
                "vmovups [{to} + {last} + 64], ymm2",
                "vmovups [{to} + {last} + 96], ymm3",
                "vzeroupper",
                from = in(reg) from,
                to = in(reg) to,
                len = in(reg) len,
                last = out(reg) _,
                at = out(reg) _,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                options(nostack),
            );
        }
    }

    /// # Safety
    ///
    /// As for [`copy`].
    #[inline]
    unsafe fn copy_string(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: accesses `len` bytes at `from` and `to`; the direction flag is clear on entry to every `asm!`.
        unsafe {
            asm!(
                "rep movsb",
                inout("rsi") from => _,
                inout("rdi") to => _,
                inout("rcx") len => _,
                options(nostack, preserves_flags),
            );
        }
    }
}

#[cfg(any(
    not(all(
        target_arch = "x86_64",
        target_pointer_width = "64",
        target_feature = "sse2",
        not(any(miri, virtio_portable))
    )),
    test
))]
mod portable {
    use core::ptr::NonNull;
    use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

    const WORD: usize = size_of::<u64>();

    pub(crate) unsafe fn copy_in(shared: NonNull<u8>, private: &mut [u8]) {
        let (head, rest) = private.split_at_mut(shared.align_offset(WORD).min(private.len()));
        let mut at = shared;
        // SAFETY, of each step: `at` has the same offset in `shared` as the slot has in `private`, so (1) covers both.
        for byte in head {
            // SAFETY: as above.
            *byte = unsafe { load_byte(at) };
            // SAFETY: as above.
            at = unsafe { at.add(1) };
        }
        let mut words = rest.chunks_exact_mut(WORD);
        for word in &mut words {
            // SAFETY: as above; `at` is aligned after the head.
            let atomic = unsafe { AtomicU64::from_ptr(at.cast().as_ptr()) };
            word.copy_from_slice(&atomic.load(Ordering::Relaxed).to_ne_bytes());
            // SAFETY: as above.
            at = unsafe { at.add(WORD) };
        }
        for byte in words.into_remainder() {
            // SAFETY: as above.
            *byte = unsafe { load_byte(at) };
            // SAFETY: as above.
            at = unsafe { at.add(1) };
        }
    }

    pub(crate) unsafe fn copy_out(private: &[u8], shared: NonNull<u8>) {
        let (head, rest) = private.split_at(shared.align_offset(WORD).min(private.len()));
        let mut at = shared;
        // SAFETY, of each step: `at` has the same offset in `shared` as the value has in `private`, so (1) covers both.
        for byte in head {
            // SAFETY: as above.
            unsafe { store_byte(at, *byte) };
            // SAFETY: as above.
            at = unsafe { at.add(1) };
        }
        let mut words = rest.chunks_exact(WORD);
        for word in &mut words {
            let mut value = [0; WORD];
            value.copy_from_slice(word);
            // SAFETY: as above; `at` is aligned after the head.
            let atomic = unsafe { AtomicU64::from_ptr(at.cast().as_ptr()) };
            atomic.store(u64::from_ne_bytes(value), Ordering::Relaxed);
            // SAFETY: as above.
            at = unsafe { at.add(WORD) };
        }
        for byte in words.remainder() {
            // SAFETY: as above.
            unsafe { store_byte(at, *byte) };
            // SAFETY: as above.
            at = unsafe { at.add(1) };
        }
    }

    /// # Safety
    ///
    /// The byte is valid for reads and for writes, and no Rust reference to it is alive.
    unsafe fn load_byte(shared: NonNull<u8>) -> u8 {
        // SAFETY: the caller guarantees it; a byte is always aligned.
        let atomic = unsafe { AtomicU8::from_ptr(shared.as_ptr()) };
        atomic.load(Ordering::Relaxed)
    }

    /// # Safety
    ///
    /// The byte is valid for reads and for writes, and no Rust reference to it is alive.
    unsafe fn store_byte(shared: NonNull<u8>, value: u8) {
        // SAFETY: the caller guarantees it; a byte is always aligned.
        let atomic = unsafe { AtomicU8::from_ptr(shared.as_ptr()) };
        atomic.store(value, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use core::cell::UnsafeCell;
    use core::ptr::NonNull;

    use super::portable;

    /// The longest copy. `rep movsb` or AVX is used from much shorter copies on.
    const LONGEST: usize = if cfg!(miri) { 40 } else { 2100 };
    /// The size of the buffers. It has room for a copy at any alignment, and for bytes around it that must not change.
    const SIZE: usize = LONGEST + 64;
    const CANARY: u8 = 0xee;

    /// Shared memory.
    #[repr(align(64))]
    struct Shared(UnsafeCell<[u8; SIZE]>);

    impl Shared {
        fn new(bytes: [u8; SIZE]) -> Self {
            Self(UnsafeCell::new(bytes))
        }

        /// Returns a pointer to byte `start` of the buffer, for the whole buffer.
        fn ptr(&self, start: usize) -> NonNull<u8> {
            // SAFETY: `start` is a place inside the buffer.
            unsafe { NonNull::from(&self.0).cast::<u8>().add(start) }
        }
    }

    /// Returns bytes that differ from their neighbours, from the bytes 256 places on, and from the canary.
    fn pattern() -> [u8; SIZE] {
        core::array::from_fn(|index| u8::try_from((index * 7 + index / 256) % 237).expect("it is below 237"))
    }

    /// Calls `check` with every start and length.
    fn for_every_start_and_length(check: impl Fn(usize, usize)) {
        for start in 16..48 {
            for len in 0..=LONGEST {
                check(start, len);
            }
        }
    }

    /// Returns a private buffer after a `copy_in` of `len` shared bytes from `start` on.
    fn copied_in(copy_in: unsafe fn(NonNull<u8>, &mut [u8]), shared: &Shared, start: usize, len: usize) -> [u8; SIZE] {
        let mut private = [CANARY; SIZE];
        // SAFETY: (1) `start + len < SIZE`; (2) the buffer is borrowed only as a cell.
        unsafe { copy_in(shared.ptr(start), &mut private[9..9 + len]) };
        private
    }

    /// Returns shared memory after a `copy_out` of `len` private bytes to `start`.
    fn copied_out(copy_out: unsafe fn(&[u8], NonNull<u8>), private: &[u8], start: usize, len: usize) -> [u8; SIZE] {
        let shared = Shared::new([CANARY; SIZE]);
        // SAFETY: (1) `start + len < SIZE`; (2) the buffer is borrowed only as a cell.
        unsafe { copy_out(&private[9..9 + len], shared.ptr(start)) };
        shared.0.into_inner()
    }

    #[test]
    fn copy_in_portable_does_what_the_default_does() {
        let shared = Shared::new(pattern());
        for_every_start_and_length(|start, len| {
            let expected = copied_in(super::copy_in, &shared, start, len);
            assert_eq!(copied_in(portable::copy_in, &shared, start, len), expected, "{len} bytes at {start}");
        });
    }

    #[test]
    fn copy_out_portable_does_what_the_default_does() {
        let private = pattern();
        for_every_start_and_length(|start, len| {
            let expected = copied_out(super::copy_out, &private, start, len);
            assert_eq!(copied_out(portable::copy_out, &private, start, len), expected, "{len} bytes at {start}");
        });
    }

    /// With AVX, the default has no use for it.
    #[cfg(all(
        target_arch = "x86_64",
        target_pointer_width = "64",
        target_feature = "sse2",
        not(any(miri, virtio_portable))
    ))]
    #[test]
    fn copy_without_avx_does_what_the_default_does() {
        unsafe fn copy_in(shared: NonNull<u8>, private: &mut [u8]) {
            let len = private.len();
            if len > 64 {
                // SAFETY: as for the caller; longer than 64.
                unsafe { super::x86_64::copy_without_avx(shared.as_ptr(), private.as_mut_ptr(), len) }
            } else {
                // SAFETY: as for the caller.
                unsafe { super::copy_in(shared, private) }
            }
        }
        let shared = Shared::new(pattern());
        for_every_start_and_length(|start, len| {
            let expected = copied_in(portable::copy_in, &shared, start, len);
            assert_eq!(copied_in(copy_in, &shared, start, len), expected, "{len} bytes at {start}");
        });
    }
}
