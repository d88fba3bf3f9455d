//! Decides when to kick the device, and asks the device for interrupts.

use core::sync::atomic::Ordering;

use virtio_mem_traits::{DriverMem, fence};

use super::Driver;
use super::signals::Interrupts;
use crate::format::{Format, Side};
use crate::notification_data::NotificationData;

/// Kicks: available buffer notifications.
impl<F: Format, M: DriverMem + Clone> Driver<F, M> {
    /// Decides whether to kick the device for the chains that were published since the last call.
    ///
    /// The caller delivers the kick.
    ///
    /// On a split ring without EVENT_IDX, the device asks for kicks in its flags (DRV-ANOT-2). With EVENT_IDX, it wants
    /// a kick if `avail_event` is one of the new entries (DRV-ANOT-3). On a packed ring, its event suppression
    /// structure asks for no kicks, for all kicks, or for a kick if a certain slot is one of the new slots.
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
        // The driver stores the available chains before it loads the device's request. The device stores its request
        // before it loads the ring again. Each side has a full fence between its store and its load, so at least one
        // side sees the store of the other (DRV-BAR-2, DRV-PBAR-2).
        fence(Ordering::SeqCst);
        let wanted = self.side.wants_kick(new);
        let count = if wanted { &mut self.kicks.given } else { &mut self.kicks.suppressed };
        *count += 1;
        wanted
    }

    /// Returns the data of a kick, for use with NOTIFICATION_DATA.
    ///
    /// `queue` is the index of the queue, or the value that the device chose for the queue.
    #[must_use]
    pub fn notification_data(&self, queue: u16) -> NotificationData {
        NotificationData { queue, position: self.available_position() }
    }

    /// Returns how often [`needs_kick`](Self::needs_kick) decided to kick the device.
    #[must_use]
    pub const fn kicks(&self) -> usize {
        self.kicks.given
    }

    /// Returns how often the device did not want a kick for new chains.
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
    /// Asks the device not to interrupt.
    ///
    /// This is a hint. The device can interrupt nevertheless.
    ///
    /// On a split ring with EVENT_IDX, the driver asks for an element that is used already. Its index comes again only
    /// after 2^16 other elements.
    pub fn disable_interrupts(&mut self) {
        self.interrupts = Interrupts::Off;
        self.side.disable_interrupts(self.next_used);
    }

    /// Asks the device to interrupt when it uses a buffer, and returns whether a buffer is used already.
    ///
    /// If so, reap it before you wait: an interrupt for that buffer is not certain (DRV-MAY-2).
    #[must_use = "the device does not need to interrupt for a buffer that is used already"]
    pub fn enable_interrupts(&mut self) -> bool {
        self.interrupts = Interrupts::EveryBuffer;
        self.ask_for_interrupt(0)
    }

    /// Asks for one interrupt, at the position `more` after the next one, and returns whether that position is used
    /// already.
    ///
    /// Positions are buffers on a split ring, and slots on a packed ring. Without EVENT_IDX, the driver asks for an
    /// interrupt for every buffer.
    ///
    /// Reaping does not ask for further interrupts, before or after this one.
    ///
    /// # Panics
    ///
    /// If `more` is not less than the queue size, because so many positions cannot be used at the same time.
    #[must_use = "the device does not need to interrupt for a buffer that is used already"]
    pub fn enable_interrupts_after(&mut self, more: u16) -> bool {
        assert!(
            more < self.size(),
            "{more} more positions cannot be used: the number must be less than the queue size of {}",
            self.size()
        );
        self.interrupts = Interrupts::Later;
        self.ask_for_interrupt(more)
    }

    fn ask_for_interrupt(&mut self, more: u16) -> bool {
        let position = self.next_used + u64::from(more);
        self.side.enable_interrupts(position);
        // The driver stores its request before it loads the used side. The device stores the used side before it loads
        // the request. Each side has a full fence between its store and its load, so at least one side sees the store
        // of the other (BAR-3, BAR-7).
        fence(Ordering::SeqCst);
        self.used_until() > position
    }

    /// Asks for the next interrupt if the driver wants one for every buffer. The next reap sees buffers that were used
    /// in the meantime.
    pub(super) fn rearm(&mut self) {
        if self.event_idx() && self.interrupts == Interrupts::EveryBuffer {
            self.side.enable_interrupts(self.next_used);
            // As in `ask_for_interrupt`. The load of the used side is the next reap.
            fence(Ordering::SeqCst);
        }
    }
}
