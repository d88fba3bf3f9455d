//! When the device is kicked, and when it is to interrupt.

use core::sync::atomic::{Ordering, fence};

use super::SplitDriver;

/// NO_NOTIFY in the flags of the used ring, and NO_INTERRUPT in those of the available ring.
const NO_NOTIFICATION: u16 = 1;

/// Which interrupts the driver has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupts {
    /// None.
    Off,
    /// One for every buffer that is used when none is left to be reaped.
    EveryBuffer,
    /// One, for a later buffer.
    Later,
}

/// What came of the decisions to kick.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KickCounts {
    given: usize,
    suppressed: usize,
}

/// Kicks: available buffer notifications.
impl SplitDriver {
    /// Decides whether the device is to be kicked for what became visible to it since this was last asked. The caller
    /// delivers the kick.
    ///
    /// VIRTIO 1.4 §2.7.10.1 "Driver Requirements: Available Buffer Notification Suppression": without EVENT_IDX the
    /// device says so in its flags (DRV-ANOT-2), with it `avail_event` has to be among the new entries (DRV-ANOT-3).
    #[must_use = "the device may be waiting for a kick"]
    pub fn needs_kick(&mut self) -> bool {
        let new = core::mem::take(&mut self.unannounced);
        if new.is_empty() {
            return false;
        }
        // The available index is stored before the device's wish is loaded, and the device stores its wish before it
        // loads the index once more: with a full fence in between on either side, one of them sees the other
        // (DRV-BAR-2).
        fence(Ordering::SeqCst);
        let wanted = if self.event_idx() {
            new.contains(&self.raw.avail_event())
        } else {
            self.raw.used_flags() & NO_NOTIFICATION == 0
        };
        let count = if wanted { &mut self.kicks.given } else { &mut self.kicks.suppressed };
        *count += 1;
        wanted
    }

    /// Returns how often the device was to be kicked.
    #[must_use]
    pub const fn kicks(&self) -> usize {
        self.kicks.given
    }

    /// Returns how often there was something new for the device, which did not want to be kicked for it.
    #[must_use]
    pub const fn suppressed_kicks(&self) -> usize {
        self.kicks.suppressed
    }
}

/// Interrupts: used buffer notifications. A new driver has them enabled.
///
/// VIRTIO 1.4 §2.7.7.1 "Driver Requirements: Used Buffer Notification Suppression" (DRV-UNOT-1, DRV-UNOT-2).
impl SplitDriver {
    /// Asks the device not to interrupt. It is a hint.
    ///
    /// With EVENT_IDX, the element that is asked for is one that was used already: it comes again after 2^16 others.
    pub fn disable_interrupts(&mut self) {
        self.interrupts = Interrupts::Off;
        if self.event_idx() {
            self.raw.set_used_event(self.next_used.wrapping_sub(1));
        } else {
            self.raw.set_available_flags(NO_NOTIFICATION);
        }
    }

    /// Asks the device to interrupt when it uses a buffer, and returns whether one is used already: the device may not
    /// interrupt for that one, and it has to be reaped before waiting (DRV-MAY-2).
    #[must_use = "the device may not interrupt for what is used already"]
    pub fn enable_interrupts(&mut self) -> bool {
        self.interrupts = Interrupts::EveryBuffer;
        self.ask_for_interrupt(0)
    }

    /// Asks the device to interrupt only when it has used `more` buffers beside the next one, and returns whether it
    /// has already. Without EVENT_IDX, it is asked to interrupt for all of them.
    ///
    /// It holds for that one interrupt: until then and after it, reaping does not ask for others.
    ///
    /// # Panics
    ///
    /// If `more` is not less than the queue size: as many buffers can never be used at a time.
    #[must_use = "the device may not interrupt for what is used already"]
    pub fn enable_interrupts_after(&mut self, more: u16) -> bool {
        assert!(more < self.size(), "{more} more buffers are not used in a queue of {}", self.size());
        self.interrupts = Interrupts::Later;
        self.ask_for_interrupt(more)
    }

    fn ask_for_interrupt(&mut self, more: u16) -> bool {
        if self.event_idx() {
            self.raw.set_used_event(self.next_used.wrapping_add(more));
        } else {
            self.raw.set_available_flags(0);
        }
        // The wish is stored before the used index is loaded, and the device stores its index before it loads the wish:
        // with a full fence in between on either side, one of them sees the other (BAR-3).
        fence(Ordering::SeqCst);
        self.used() > more
    }

    /// Goes on asking for an interrupt if one is wanted for every buffer. What was used meanwhile is seen by the next
    /// reap.
    pub(super) fn rearm(&mut self) {
        if self.event_idx() && self.interrupts == Interrupts::EveryBuffer {
            self.ask_for_interrupt(0);
        }
    }
}
