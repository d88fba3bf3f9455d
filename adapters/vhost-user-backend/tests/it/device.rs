//! The device under test: it answers in upper case, when it is allowed to.

use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use virtio_fake_driver::features::{EVENT_IDX, INDIRECT_DESC, RING_PACKED, VERSION_1};
use virtio_util::OwnedChain;
use virtio_vhost_user_backend::VringError;
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};

use super::framework::adapter::{GuestMem, Queues, Vring, VringBitmap, VringMem};
use super::framework::vhost::vhost_user::message::VhostUserProtocolFeatures;
use super::framework::vhost_user_backend::VhostUserBackend;

/// The bit with which a front end asks for a log of what is written.
const LOG_ALL: u64 = 1 << 26;
/// The bit with which a front end negotiates protocol features.
const PROTOCOL_FEATURES: u64 = 1 << 30;
pub(crate) const FEATURES: u64 = VERSION_1 | RING_PACKED | EVENT_IDX | INDIRECT_DESC | PROTOCOL_FEATURES | LOG_ALL;

pub(crate) type Chain<B = ()> = OwnedChain<VringMem<B>>;

/// The device on memory without a bitmap.
pub(crate) type UpperCase = Device<()>;

pub(crate) struct Device<B: VringBitmap> {
    queues: Queues<B>,
    work: Box<dyn Fn(Chain<B>) + Send + Sync>,
    errors: Sender<VringError>,
}

impl<B: VringBitmap> Device<B> {
    /// Returns a device that does `work` with each chain, and what it reports.
    pub(crate) fn new(work: impl Fn(Chain<B>) + Send + Sync + 'static) -> (Arc<Self>, Receiver<VringError>) {
        Self::with_queues(Queues::new(), work)
    }

    fn with_queues(
        queues: Queues<B>,
        work: impl Fn(Chain<B>) + Send + Sync + 'static,
    ) -> (Arc<Self>, Receiver<VringError>) {
        let (errors, reported) = channel();
        (Arc::new(Self { queues, work: Box::new(work), errors }), reported)
    }

    /// Returns a device that hands over its chains.
    pub(crate) fn handing_over() -> (Arc<Self>, Receiver<Chain<B>>) {
        Self::handing_over_from(Queues::new())
    }

    pub(crate) fn handing_over_from(queues: Queues<B>) -> (Arc<Self>, Receiver<Chain<B>>) {
        let (sender, chains) = channel();
        (Self::with_queues(queues, move |chain| sender.send(chain).unwrap()).0, chains)
    }
}

/// Returns what comes next.
pub(crate) fn next<T>(from: &Receiver<T>) -> T {
    from.recv_timeout(Duration::from_secs(20)).unwrap()
}

/// Returns whether nothing comes for as long as a thread could be late.
pub(crate) fn nothing_comes<T>(from: &Receiver<T>) -> bool {
    from.recv_timeout(Duration::from_millis(50)).is_err()
}

impl<B: VringBitmap> VhostUserBackend for Device<B> {
    type Bitmap = B;
    type Vring = Vring<B>;

    fn num_queues(&self) -> usize {
        2
    }

    fn max_queue_size(&self) -> usize {
        256
    }

    fn queues_per_thread(&self) -> Vec<u64> {
        vec![0b01, 0b10]
    }

    fn features(&self) -> u64 {
        FEATURES
    }

    fn acked_features(&self, features: u64) {
        self.queues.set_features(features);
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::REPLY_ACK
            | VhostUserProtocolFeatures::CONFIGURE_MEM_SLOTS
            | VhostUserProtocolFeatures::LOG_SHMFD
    }

    fn set_event_idx(&self, _: bool) {}

    fn update_memory(&self, _: GuestMem<B>) -> io::Result<()> {
        self.queues.update_memory();
        Ok(())
    }

    fn exit_event(&self, _: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()
    }

    fn handle_event(&self, event: u16, _: EventSet, vrings: &[Vring<B>], _: usize) -> io::Result<()> {
        if let Err(error) = self.queues.serve(&vrings[usize::from(event)], &self.work) {
            self.errors.send(error).unwrap();
        }
        Ok(())
    }
}
