//! The vring type.

use alloc::sync::Arc;
use core::fmt;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use virtio_queue_core::{AnyRing, Armed, DriverNotify};
use virtio_util::{DescChainStream, EventFd, OwnedChain};

use super::framework::vhost_user_backend::{VringMutex, VringState, VringStateGuard, VringStateMutGuard, VringT};
use super::framework::virtio_queue::Error as VirtQueueError;
use super::state::State;
use super::types::{GuestMem, VringBitmap, VringMem, VringQueue};
use crate::call::{Call, event_fd};
use crate::error::VringError;
use crate::setup::Setup;

/// A vring of `vhost-user-backend` with a queue of this workspace. Use it as the type `Vring` of a device.
///
/// It stores the settings from the front end. Its queue comes from [`Queues`](super::Queues). A clone is another handle
/// on the same vring.
///
/// # The trait
///
/// `vhost-user-backend` calls the methods of [`VringT`]. The methods that a device would call do the following:
///
/// * `signal_used_queue` signals the front end even if the driver asked for no notifications. `needs_notification`
///   returns `false`, because the queue itself notifies.
/// * `enable_notification` and `disable_notification` call the queue.
/// * `add_used` returns an error: a chain returns itself.
/// * `get_ref` and `get_mut` show the settings. The `virtio_queue::Queue` in the settings is not used: a device must
///   not use it either.
pub struct Vring<B: VringBitmap = ()> {
    /// The settings in the form that `vhost-user-backend` requires.
    settings: VringMutex<GuestMem<B>>,
    inner: Arc<Inner<B>>,
}

struct Inner<B: VringBitmap> {
    mem: GuestMem<B>,
    /// The eventfds have their own locks, because a signal can be sent while the queue is locked.
    kick: Mutex<Option<Arc<EventFd>>>,
    error: Mutex<Option<EventFd>>,
    call: Call,
    state: Mutex<State<B>>,
    /// Wakes the thread when chains return or the queue resumes.
    waiting: Mutex<Option<Chains<B>>>,
}

type Chains<B> = DescChainStream<AnyRing<VringMem<B>>, Call>;

impl<B: VringBitmap> Vring<B> {
    /// Wakes the thread of the vring, as a kick of the driver does, unless the vring is stopped.
    pub fn kick(&self) {
        if let Some(kick) = self.kick_fd() {
            kick.notify();
        }
    }

    /// Signals to the front end that the vring is broken. [`Queues`](super::Queues) signals its own errors. Call this
    /// if a queue that you took from there breaks.
    pub fn signal_error(&self) {
        if let Some(error) = &*self.error_slot() {
            error.notify();
        }
    }

    pub(crate) fn queue(&self, setup: Setup) -> Result<Option<VringQueue<B>>, VringError> {
        self.state().queue(setup, &self.inner.mem, &self.inner.call)
    }

    /// Passes each available chain to `work`, as [`Queues::serve`](crate::Queues::serve) does.
    pub(crate) fn serve(&self, setup: Setup, mut work: impl FnMut(OwnedChain<VringMem<B>>)) -> Result<(), VringError> {
        let Some(queue) = self.queue(setup)? else { return Ok(()) };
        let waker = self.kick_fd().map_or_else(|| Waker::noop().clone(), Waker::from);
        let mut chains = Chains::new(queue.clone());
        for _ in 0..queue.size() {
            let next = pin!(chains.next_chain()).poll(&mut Context::from_waker(&waker));
            match next {
                Poll::Ready(Ok(Some(chain))) => work(chain),
                Poll::Ready(end) => return end.map(|_| ()).map_err(VringError::Ring),
                Poll::Pending => {
                    // The queue asked the driver to kick. While this is stored, other events that make chains available
                    // kick as well.
                    *self.waiting() = Some(chains);
                    return Ok(());
                }
            }
        }
        waker.wake();
        Ok(())
    }

    /// Lets the thread look at the ring when the vring starts or resumes. A kick for earlier chains can have come while
    /// nobody listened. Version 0.24 of the framework does this itself. Version 0.22 does not.
    fn look(&self) {
        if self.state().runs() {
            self.kick();
        }
    }

    pub(crate) fn update_memory(&self) {
        self.state().update_memory(&self.inner.mem);
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kick_fd(&self) -> Option<Arc<EventFd>> {
        self.kick_slot().clone()
    }

    fn kick_slot(&self) -> MutexGuard<'_, Option<Arc<EventFd>>> {
        self.inner.kick.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error_slot(&self) -> MutexGuard<'_, Option<EventFd>> {
        self.inner.error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> Option<VringQueue<B>> {
        self.state().running().cloned()
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Chains<B>>> {
        self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no chain is in flight, and ends the queue. Returns its position.
    fn stop(&self) -> u16 {
        // The vring is not locked during the wait, because chains must return.
        if let Some(queue) = self.running() {
            queue.drain();
        }
        *self.waiting() = None;
        self.state().end()
    }
}

impl<'a, B: VringBitmap> VringStateGuard<'a, GuestMem<B>> for Vring<B> {
    type G = MutexGuard<'a, VringState<GuestMem<B>>>;
}

impl<'a, B: VringBitmap> VringStateMutGuard<'a, GuestMem<B>> for Vring<B> {
    type G = MutexGuard<'a, VringState<GuestMem<B>>>;
}

impl<B: VringBitmap> VringT<GuestMem<B>> for Vring<B> {
    fn new(mem: GuestMem<B>, max_queue_size: u16) -> Result<Self, VirtQueueError> {
        let settings = VringMutex::new(mem.clone(), max_queue_size)?;
        let inner = Inner {
            mem,
            kick: Mutex::default(),
            error: Mutex::default(),
            call: Call::default(),
            state: Mutex::new(State::new(max_queue_size)),
            waiting: Mutex::default(),
        };
        Ok(Self { settings, inner: Arc::new(inner) })
    }

    fn get_ref(&self) -> MutexGuard<'_, VringState<GuestMem<B>>> {
        self.settings.get_ref()
    }

    fn get_mut(&self) -> MutexGuard<'_, VringState<GuestMem<B>>> {
        self.settings.get_mut()
    }

    fn add_used(&self, _: u16, _: u32) -> Result<(), VirtQueueError> {
        Err(VirtQueueError::QueueNotReady)
    }

    fn signal_used_queue(&self) -> io::Result<()> {
        self.inner.call.notify();
        Ok(())
    }

    fn enable_notification(&self) -> Result<bool, VirtQueueError> {
        let queue = self.running().ok_or(VirtQueueError::QueueNotReady)?;
        match queue.enable_notifications() {
            Ok(armed) => Ok(armed == Armed::MoreAvailable),
            Err(_) => Err(VirtQueueError::QueueNotReady),
        }
    }

    fn disable_notification(&self) -> Result<(), VirtQueueError> {
        self.running().ok_or(VirtQueueError::QueueNotReady)?.suppress_notifications();
        Ok(())
    }

    fn needs_notification(&self) -> Result<bool, VirtQueueError> {
        Ok(false)
    }

    fn set_enabled(&self, enabled: bool) {
        self.settings.set_enabled(enabled);
        self.state().set_enabled(enabled);
        self.look();
    }

    fn set_queue_info(&self, desc_table: u64, avail_ring: u64, used_ring: u64) -> Result<(), VirtQueueError> {
        self.settings.set_queue_info(desc_table, avail_ring, used_ring)?;
        self.state().set_areas([desc_table, avail_ring, used_ring]);
        Ok(())
    }

    /// Returns the position of the queue. If the vring is stopped, waits first until no chain is in flight.
    fn queue_next_avail(&self) -> u16 {
        // One expression would stop the vring under its own lock.
        let position = self.state().started_position();
        position.unwrap_or_else(|| self.stop())
    }

    fn set_queue_next_avail(&self, base: u16) {
        self.settings.set_queue_next_avail(base);
        self.state().set_base(base);
    }

    /// Does nothing. A split queue reads its used index from the ring when it is created. A packed ring has no used
    /// index.
    fn set_queue_next_used(&self, _: u16) {}

    /// Returns 0. The reason is in [`set_queue_next_used`](Self::set_queue_next_used).
    fn queue_used_idx(&self) -> Result<u16, VirtQueueError> {
        Ok(0)
    }

    /// Accepts sizes that are not a power of two. A packed ring can have such a size, but the settings ignore it.
    fn set_queue_size(&self, num: u16) {
        self.settings.set_queue_size(num);
        self.state().set_size(num);
    }

    /// Changes only the settings. A queue takes this from the features.
    fn set_queue_event_idx(&self, enabled: bool) {
        self.settings.set_queue_event_idx(enabled);
    }

    fn set_queue_ready(&self, ready: bool) {
        self.settings.set_queue_ready(ready);
        self.state().set_ready(ready);
        self.look();
    }

    fn set_kick(&self, file: Option<File>) {
        // This is a second descriptor of the same eventfd, because the settings keep the first one.
        *self.kick_slot() = file.as_ref().and_then(|file| file.try_clone().ok()).map(event_fd).map(Arc::new);
        self.settings.set_kick(file);
    }

    /// Reads the kick without blocking, whatever mode the front end has set.
    fn read_kick(&self) -> io::Result<bool> {
        match self.kick_fd() {
            Some(kick) => kick.take().map(|_| self.state().is_enabled()),
            None => self.settings.read_kick(),
        }
    }

    fn set_call(&self, file: Option<File>) {
        self.inner.call.set(file);
    }

    fn set_err(&self, file: Option<File>) {
        *self.error_slot() = file.map(event_fd);
    }
}

impl<B: VringBitmap> Clone for Vring<B> {
    fn clone(&self) -> Self {
        Self { settings: self.settings.clone(), inner: Arc::clone(&self.inner) }
    }
}

impl<B: VringBitmap> fmt::Debug for Vring<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, call) = (self.state(), &self.inner.call);
        f.debug_struct("Vring")
            .field("ready", &state.is_ready())
            .field("enabled", &state.is_enabled())
            .field("call", call)
            .finish_non_exhaustive()
    }
}
