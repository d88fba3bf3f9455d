//! The addresses that what front ends share takes in this process.
//!
//! A file can be larger than all memory, and to map it takes addresses alone. A process that has none left cannot
//! allocate, and ends. So front ends get half of them, all together.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::io;
use std::sync::OnceLock;

use rustix::process::{Resource, getrlimit};

/// How many bytes are taken.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Bytes that may be mapped, until this is dropped. It is dropped after what was mapped.
#[derive(Debug)]
pub(crate) struct Addresses(usize);

impl Addresses {
    /// Takes `len` bytes.
    ///
    /// # Errors
    ///
    /// If there are not as many left.
    pub(crate) fn take(len: u64) -> io::Result<Self> {
        let (wanted, limit) = (usize::try_from(len).unwrap_or(usize::MAX), limit());
        let add = |taken: usize| taken.checked_add(wanted).filter(|sum| *sum <= limit);
        // Relaxed: it is a number, on which nothing else depends.
        match TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(_) => Ok(Self(wanted)),
            Err(taken) => Err(io::Error::other(format!(
                "{len:#x} bytes cannot be mapped beside {taken:#x}: together they must be at most {limit:#x}"
            ))),
        }
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Returns half of what this process has.
fn limit() -> usize {
    static LIMIT: OnceLock<usize> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        // Stacks are in the upper half.
        let here = 0_u8;
        let end = (&raw const here).addr().checked_next_power_of_two().unwrap_or(usize::MAX);
        let allowed = getrlimit(Resource::As).current.and_then(|allowed| usize::try_from(allowed).ok());
        allowed.unwrap_or(usize::MAX).min(end) / 2
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;

    #[test]
    fn half_of_all_addresses_can_be_taken_and_no_more() {
        let quarter = limit() as u64 / 2;
        let first = Addresses::take(quarter).unwrap();
        assert!(Addresses::take(quarter + 2).is_err());
        assert!(Addresses::take(u64::MAX).is_err());
        drop(first);
        drop(Addresses::take(quarter + 2).unwrap());
    }
}
