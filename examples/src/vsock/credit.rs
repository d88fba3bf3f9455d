//! How much each side of a stream can take.
//!
//! VIRTIO 1.4 §5.10.6.3 "Buffer Space Management". A receiver says how many bytes it keeps at most (`buf_alloc`), and
//! how many it has passed on since the beginning (`fwd_cnt`). A sender counts what it has sent, and never has more on
//! the way than the receiver keeps. All counts are modulo 2^32.

use core::fmt;

/// How many bytes of a stream the device keeps, at most, if the host does not take them.
pub const BUF_ALLOC: u32 = 64 << 10;

/// What a receiver says of itself in each packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credit {
    /// How many bytes it keeps, at most.
    pub buf_alloc: u32,
    /// How many bytes it has passed on, modulo 2^32.
    pub fwd_cnt: u32,
}

/// What the device may send, as far as the guest has said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendCredit {
    /// The bytes that were sent, modulo 2^32.
    sent: u32,
    /// What the guest said last.
    guest: Credit,
}

impl SendCredit {
    /// Takes over what the guest says.
    ///
    /// A driver that prepares packets in several threads can send an older count after a newer one. So a count that
    /// goes back is ignored. A count of bytes that were never sent is ignored as well.
    pub const fn update(&mut self, said: Credit) {
        self.guest.buf_alloc = said.buf_alloc;
        if said.fwd_cnt.wrapping_sub(self.guest.fwd_cnt) <= self.on_the_way() {
            self.guest.fwd_cnt = said.fwd_cnt;
        }
    }

    /// Returns how many bytes the guest can take now.
    #[must_use]
    pub const fn available(&self) -> u32 {
        // A guest can make its buffer smaller than what is on the way.
        self.guest.buf_alloc.saturating_sub(self.on_the_way())
    }

    /// Counts bytes that were sent: no more than were available.
    pub const fn sent(&mut self, len: u32) {
        self.sent = self.sent.wrapping_add(len);
    }

    const fn on_the_way(&self) -> u32 {
        self.sent.wrapping_sub(self.guest.fwd_cnt)
    }
}

/// What the guest may send, as far as the device has said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveCredit {
    /// The bytes that came from the guest, modulo 2^32.
    received: u32,
    /// Those that were passed on to the host.
    forwarded: u32,
    /// Those of which the guest knows that they were passed on.
    told: u32,
}

impl ReceiveCredit {
    /// Counts bytes that come from the guest.
    ///
    /// # Errors
    ///
    /// If there are more of them than the guest knows that there is room for. Nothing is counted then.
    pub const fn receive(&mut self, len: u32) -> Result<(), BeyondCredit> {
        let room = BUF_ALLOC - self.received.wrapping_sub(self.told);
        if len > room {
            return Err(BeyondCredit { len, room });
        }
        self.received = self.received.wrapping_add(len);
        Ok(())
    }

    /// Counts bytes that were passed on to the host. There are no more of them than are [kept](Self::kept).
    pub const fn forward(&mut self, len: u32) {
        let len = if len < self.kept() { len } else { self.kept() };
        self.forwarded = self.forwarded.wrapping_add(len);
    }

    /// Returns how many bytes came and were not passed on yet: at most [`BUF_ALLOC`].
    #[must_use]
    pub const fn kept(&self) -> u32 {
        self.received.wrapping_sub(self.forwarded)
    }

    /// Returns what the guest is to know.
    #[must_use]
    pub const fn credit(&self) -> Credit {
        Credit { buf_alloc: BUF_ALLOC, fwd_cnt: self.forwarded }
    }

    /// Takes note of that the guest was told.
    pub const fn told(&mut self) {
        self.told = self.forwarded;
    }

    /// Returns how much more room there is than the guest knows.
    #[must_use]
    pub const fn untold(&self) -> u32 {
        self.forwarded.wrapping_sub(self.told)
    }
}

/// The error of a guest that sends more than there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeyondCredit {
    /// The bytes of the packet.
    pub len: u32,
    /// The bytes that there was room for.
    pub room: u32,
}

impl fmt::Display for BeyondCredit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a packet has {} bytes, but the guest had credit for {}", self.len, self.room)
    }
}

impl core::error::Error for BeyondCredit {}
