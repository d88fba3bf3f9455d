//! What back ends are told on the command line.

use std::path::PathBuf;

use clap::value_parser;
use virtio_queue_core::{QueueLimits, RingFeatures};

/// The arguments that all back ends have.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where front ends connect
    #[arg(long, value_name = "PATH")]
    pub socket: PathBuf,
    /// The largest queue that a front end may set up
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = value_parser!(u16).range(1..=32768))]
    pub queue_size: u16,
    /// Do not offer packed rings
    #[arg(long)]
    pub no_packed: bool,
    /// Do not offer EVENT_IDX
    #[arg(long)]
    pub no_event_idx: bool,
    /// Do not offer indirect descriptors
    #[arg(long)]
    pub no_indirect: bool,
    /// Offer to use buffers in order
    #[arg(long)]
    pub in_order: bool,
    /// Look for requests all the time while there are any, rather than wait for notifications
    #[arg(long)]
    pub poll: bool,
}

impl Options {
    /// Returns the features of the rings.
    pub(super) fn ring_features(&self) -> RingFeatures {
        let left_out = [
            (self.no_packed, RingFeatures::RING_PACKED),
            (self.no_event_idx, RingFeatures::EVENT_IDX),
            (self.no_indirect, RingFeatures::INDIRECT_DESC),
            (!self.in_order, RingFeatures::IN_ORDER),
        ];
        let offered = left_out.into_iter().filter(|(left_out, _)| !left_out);
        offered.fold(RingFeatures::VERSION_1.union(RingFeatures::RING_RESET), |all, (_, feature)| all.union(feature))
    }

    /// Returns how long chains may be. Drivers go by the largest queue when they make indirect tables, also if theirs
    /// is smaller. That theirs is not larger is seen to when they say its size.
    pub(super) fn limits(&self) -> QueueLimits {
        QueueLimits { chain_len: Some(self.queue_size.into()), ..QueueLimits::default() }
    }
}
