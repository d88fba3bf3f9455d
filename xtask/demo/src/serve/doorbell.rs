//! A signal from one thread to another.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use virtio_queue_core::DriverNotify;

/// The two bells between driver and device.
#[derive(Default)]
pub(super) struct Doorbells {
    /// Rung by the driver when there are requests.
    pub(super) kicks: Doorbell,
    /// Rung by the device when there are answers.
    pub(super) notifications: Doorbell,
}

/// A bell that one thread sleeps on until another rings it. Rings that nobody has heard yet are one.
#[derive(Default)]
pub(super) struct Doorbell {
    state: Mutex<State>,
    changed: Condvar,
    rings: AtomicU64,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Silent,
    Rung,
    Closed,
}

impl Doorbell {
    /// Wakes who waits, or who waits next.
    pub(super) fn ring(&self) {
        // A counter, and nothing is inferred from it before the threads are joined. The lock orders the rest.
        self.rings.fetch_add(1, Ordering::Relaxed);
        self.update(|state| if state == State::Closed { state } else { State::Rung });
    }

    /// Says that nobody rings any more.
    pub(super) fn close(&self) {
        self.update(|_| State::Closed);
    }

    /// Sleeps until it is rung, and returns whether it was. Otherwise it is closed.
    pub(super) fn wait(&self) -> bool {
        let silent = |state: &mut State| *state == State::Silent;
        let mut state = self.changed.wait_while(self.lock(), silent).unwrap_or_else(PoisonError::into_inner);
        let rung = *state == State::Rung;
        if rung {
            *state = State::Silent;
        }
        rung
    }

    /// Returns how often it was rung.
    pub(super) fn rings(&self) -> u64 {
        self.rings.load(Ordering::Relaxed)
    }

    fn update(&self, change: impl FnOnce(State) -> State) {
        let mut state = self.lock();
        *state = change(*state);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The device's way to the driver: an interrupt.
impl DriverNotify for Doorbell {
    fn notify(&self) {
        self.ring();
    }
}
