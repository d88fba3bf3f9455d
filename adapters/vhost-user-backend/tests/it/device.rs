//! The device under test: it answers in upper case, when it is allowed to.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use vhost::vhost_user::message::VhostUserProtocolFeatures;
use vhost_user_backend::VhostUserBackend;
use virtio_chain::ReadableChain;
use virtio_fake_driver::features::{EVENT_IDX, INDIRECT_DESC, RING_PACKED, VERSION_1};
use virtio_util::OwnedChain;
use virtio_vhost_user_backend::{GuestMem, Queues, Vring, VringError, VringMem};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};

/// The bit with which a front end negotiates protocol features.
const PROTOCOL_FEATURES: u64 = 1 << 30;
pub(crate) const FEATURES: u64 = VERSION_1 | RING_PACKED | EVENT_IDX | INDIRECT_DESC | PROTOCOL_FEATURES;

pub(crate) type Chain = OwnedChain<VringMem>;

pub(crate) struct UpperCase {
    queues: Queues,
    work: Box<dyn Fn(Chain) + Send + Sync>,
    errors: Sender<VringError>,
}

impl UpperCase {
    /// Returns a device that does `work` with each chain, and what it reports.
    pub(crate) fn new(work: impl Fn(Chain) + Send + Sync + 'static) -> (Arc<Self>, Receiver<VringError>) {
        Self::with_queues(Queues::new(), work)
    }

    fn with_queues(queues: Queues, work: impl Fn(Chain) + Send + Sync + 'static) -> (Arc<Self>, Receiver<VringError>) {
        let (errors, reported) = channel();
        (Arc::new(Self { queues, work: Box::new(work), errors }), reported)
    }

    /// Returns a device that hands over its chains.
    pub(crate) fn handing_over() -> (Arc<Self>, Receiver<Chain>) {
        Self::handing_over_from(Queues::new())
    }

    pub(crate) fn handing_over_from(queues: Queues) -> (Arc<Self>, Receiver<Chain>) {
        let (sender, chains) = channel();
        (Self::with_queues(queues, move |chain| sender.send(chain).unwrap()).0, chains)
    }
}

/// Writes in upper case what the driver sent.
pub(crate) fn answer(chain: Chain) {
    let mut request = ReadableChain::new(chain);
    let mut text = String::new();
    request.read_to_string(&mut text).unwrap();
    let mut answer = request.into_writable().unwrap();
    answer.write_all(text.to_uppercase().as_bytes()).unwrap();
    answer.return_prefix().unwrap();
}

impl VhostUserBackend for UpperCase {
    type Bitmap = ();
    type Vring = Vring;

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
        VhostUserProtocolFeatures::REPLY_ACK | VhostUserProtocolFeatures::CONFIGURE_MEM_SLOTS
    }

    fn set_event_idx(&self, _: bool) {}

    fn update_memory(&self, _: GuestMem) -> io::Result<()> {
        self.queues.update_memory();
        Ok(())
    }

    fn exit_event(&self, _: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()
    }

    fn handle_event(&self, event: u16, _: EventSet, vrings: &[Vring], _: usize) -> io::Result<()> {
        if let Err(error) = self.queues.serve(&vrings[usize::from(event)], &self.work) {
            self.errors.send(error).unwrap();
        }
        Ok(())
    }
}
