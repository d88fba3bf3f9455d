//! When the device is kicked, and when it is to interrupt.

use core::sync::atomic::Ordering;

use virtio_mem_traits::{DriverMem, fence};

use super::Driver;
use crate::NotificationData;
use crate::format::{Format, Side};

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
impl<F: Format, M: DriverMem + Clone> Driver<F, M> {
    /// Decides whether the device is to be kicked for what became visible to it since this was last asked. The caller
    /// delivers the kick.
    ///
    /// On a split ring without EVENT_IDX the device says so in its flags (DRV-ANOT-2), with it `avail_event` has to be
    /// among the new entries (DRV-ANOT-3). On a packed ring its event suppression structure says no, yes, or that a
    /// certain slot has to be among the new ones.
    ///
    /// VIRTIO 1.4 §2.7.10.1 "Driver Requirements: Available Buffer Notification Suppression", §2.8.21.3.1 "Driver
    /// Requirements: Sending Available Buffer Notifications".
    #[must_use = "the device may be waiting for a kick"]
    pub fn needs_kick(&mut self) -> bool {
        let new = self.announced..self.published;
        self.announced = self.published;
        if new.is_empty() {
            return false;
        }
        // What is available is stored before the device's wish is loaded, and the device stores its wish before it
        // looks once more: with a full fence in between on either side, one of them sees the other (DRV-BAR-2,
        // DRV-PBAR-2).
        fence(Ordering::SeqCst);
        let wanted = self.side.wants_kick(new);
        let count = if wanted { &mut self.kicks.given } else { &mut self.kicks.suppressed };
        *count += 1;
        wanted
    }

    /// Returns what a kick says if NOTIFICATION_DATA was negotiated, of the queue with this index or of the one that
    /// the device knows by this value.
    #[must_use]
    pub fn notification_data(&self, queue: u16) -> NotificationData {
        NotificationData { queue, position: self.available_position() }
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
/// VIRTIO 1.4 §2.7.7.1 "Driver Requirements: Used Buffer Notification Suppression" (DRV-UNOT-1, DRV-UNOT-2), §2.8.10
/// "Driver and Device Event Suppression".
impl<F: Format, M: DriverMem + Clone> Driver<F, M> {
    /// Asks the device not to interrupt. It is a hint.
    ///
    /// On a split ring with EVENT_IDX, the element that is asked for is one that was used already: it comes again after
    /// 2^16 others.
    pub fn disable_interrupts(&mut self) {
        self.interrupts = Interrupts::Off;
        self.side.disable_interrupts(self.next_used);
    }

    /// Asks the device to interrupt when it uses a buffer, and returns whether one is used already: the device perhaps
    /// does not interrupt for that one, and it has to be reaped before waiting (DRV-MAY-2).
    #[must_use = "no interrupt has to come for what is used already"]
    pub fn enable_interrupts(&mut self) -> bool {
        self.interrupts = Interrupts::EveryBuffer;
        self.ask_for_interrupt(0)
    }

    /// Asks the device to interrupt only when it has got `more` positions beyond the next one, and returns whether it
    /// has already. Positions are buffers on a split ring, and slots on a packed one. Without EVENT_IDX, it is asked to
    /// interrupt for all of them.
    ///
    /// It holds for that one interrupt: until then and after it, reaping does not ask for others.
    ///
    /// # Panics
    ///
    /// If `more` is not less than the queue size: as many positions can never be used at a time.
    #[must_use = "no interrupt has to come for what is used already"]
    pub fn enable_interrupts_after(&mut self, more: u16) -> bool {
        assert!(more < self.size(), "{more} more positions are not used in a queue of {}", self.size());
        self.interrupts = Interrupts::Later;
        self.ask_for_interrupt(more)
    }

    fn ask_for_interrupt(&mut self, more: u16) -> bool {
        let position = self.next_used + u64::from(more);
        self.side.enable_interrupts(position);
        // The wish is stored before the used side is looked at, and the device stores that before it loads the wish:
        // with a full fence in between on either side, one of them sees the other (BAR-3, BAR-7).
        fence(Ordering::SeqCst);
        self.used_until() > position
    }

    /// Goes on asking for an interrupt if one is wanted for every buffer. What was used meanwhile is seen by the next
    /// reap.
    pub(super) fn rearm(&mut self) {
        if self.event_idx() && self.interrupts == Interrupts::EveryBuffer {
            self.side.enable_interrupts(self.next_used);
            // As in `ask_for_interrupt`; the look is the next reap.
            fence(Ordering::SeqCst);
        }
    }
}
