//! Counts packets.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::wire::gso;

/// The packets that one pair of queues has moved. Any thread can read the counters.
#[derive(Debug, Default)]
pub struct Counters {
    /// From the driver to the device. An error is a packet that was malformed or could not be passed on.
    pub transmitted: Counter,
    /// From the device to the driver. An error is a buffer that was malformed or too small, or a packet that found
    /// none.
    pub received: Counter,
}

/// One direction.
///
/// The numbers are added to once for many packets. Each is right by itself; together they are what was true at about
/// the same time.
#[derive(Debug, Default)]
pub struct Counter {
    packets: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
    large: AtomicU64,
}

/// Counts to add, or counts so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// The number of packets that arrived.
    pub packets: u64,
    /// The bytes of their frames.
    pub bytes: u64,
    /// The number of errors.
    pub errors: u64,
    /// The number of packets that were to be cut into segments by their receiver.
    pub large: u64,
}

impl Counter {
    /// Returns the counts.
    #[must_use]
    pub fn get(&self) -> Count {
        // Relaxed, here and below: they are numbers and nothing else.
        Count {
            packets: self.packets.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            errors: self.errors.load(Relaxed),
            large: self.large.load(Relaxed),
        }
    }

    pub(super) fn add(&self, count: Count) {
        if count != Count::default() {
            self.packets.fetch_add(count.packets, Relaxed);
            self.bytes.fetch_add(count.bytes, Relaxed);
            self.errors.fetch_add(count.errors, Relaxed);
            self.large.fetch_add(count.large, Relaxed);
        }
    }
}

impl Count {
    /// Counts a packet with a frame of so many bytes, which is cut into segments of this [kind](super::gso).
    #[inline]
    pub(super) fn packet(&mut self, frame: usize, gso_type: u8) {
        self.packets += 1;
        self.bytes += frame as u64;
        self.large += u64::from(gso_type != gso::NONE);
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { packets, bytes, errors, large } = self;
        write!(f, "{packets} packets, {bytes} bytes, {errors} errors, {large} large")
    }
}
