//! What back ends are told on the command line.

use std::path::PathBuf;

use clap::{ArgGroup, value_parser};
use virtio_queue_core::{QueueLimits, RingFeatures};

/// The argument that asks for what a back end can do.
pub(crate) const PRINT_CAPABILITIES: &str = "--print-capabilities";

/// The arguments that all back ends have.
///
/// `--socket-path`, `--fd` and `--print-capabilities` are those of the vhost-user specification, "Backend program
/// conventions". The other ones are for tests and measurements.
#[derive(Clone, Debug, clap::Args)]
#[command(group = ArgGroup::new("place").required(true).args(["socket_path", "fd"]))]
pub struct Options {
    /// Where front ends connect
    #[arg(long, value_name = "PATH", alias = "socket")]
    pub socket_path: Option<PathBuf>,
    /// The file descriptor of a socket that this program has inherited: one that listens, or one that is connected
    #[arg(long, value_name = "FDNUM", value_parser = value_parser!(i32).range(3..))]
    pub fd: Option<i32>,
    /// Print what this program can do, as JSON, and exit
    #[arg(long)]
    print_capabilities: bool,
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
    /// Returns where front ends find the device, in words.
    pub(crate) fn place(&self) -> String {
        match (&self.socket_path, self.fd) {
            (Some(path), _) => path.display().to_string(),
            (None, Some(fd)) => format!("file descriptor {fd}"),
            (None, None) => "nowhere".into(),
        }
    }

    /// Returns the features of the rings.
    pub(crate) fn ring_features(&self) -> RingFeatures {
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
    pub(crate) fn limits(&self) -> QueueLimits {
        QueueLimits { chain_len: Some(self.queue_size.into()), ..QueueLimits::default() }
    }
}
