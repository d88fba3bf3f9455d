//! Counts connections and bytes.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a device has done. Any thread can read the counters. Each is right by itself.
#[derive(Debug, Default)]
pub struct Counters {
    guest_connections: AtomicU64,
    host_connections: AtomicU64,
    guest_bytes: AtomicU64,
    host_bytes: AtomicU64,
    refused: AtomicU64,
    malformed: AtomicU64,
}

/// Something that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// A connection that the guest asked for.
    GuestConnection,
    /// A connection that the host asked for.
    HostConnection,
    /// Bytes of the guest.
    GuestBytes(u32),
    /// Bytes of the host.
    HostBytes(u32),
    /// A packet that is refused, or a connection that is lost.
    Refused,
    /// A packet that does not come from the guest, or a chain that has no packet.
    Malformed,
}

impl Counters {
    pub(super) fn add(&self, count: Count) {
        let (counter, more) = match count {
            Count::GuestConnection => (&self.guest_connections, 1),
            Count::HostConnection => (&self.host_connections, 1),
            Count::GuestBytes(len) => (&self.guest_bytes, len),
            Count::HostBytes(len) => (&self.host_bytes, len),
            Count::Refused => (&self.refused, 1),
            Count::Malformed => (&self.malformed, 1),
        };
        // Relaxed, here and below: they are numbers and nothing else.
        counter.fetch_add(more.into(), Relaxed);
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let load = |counter: &AtomicU64| counter.load(Relaxed);
        write!(
            f,
            "the guest: {} connections, {} bytes; the host: {} connections, {} bytes; {} refused, {} malformed",
            load(&self.guest_connections),
            load(&self.guest_bytes),
            load(&self.host_connections),
            load(&self.host_bytes),
            load(&self.refused),
            load(&self.malformed)
        )
    }
}
