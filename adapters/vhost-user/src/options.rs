//! What back ends are told on the command line.

use std::io;
use std::path::PathBuf;

use clap::{ArgGroup, value_parser};
use virtio_queue_core::{QueueLimits, RingFeatures};

use crate::own_record::OwnRecord;

/// The argument that asks for what a back end can do.
pub(crate) const PRINT_CAPABILITIES: &str = "--print-capabilities";

/// The largest queue that a front end may set up, if it is not said otherwise.
const DEFAULT_QUEUE_SIZE: u16 = 1024;

/// The arguments that all back ends have.
///
/// `--socket-path`, `--fd` and `--print-capabilities` are those of the vhost-user specification, "Backend program
/// conventions". `--record` and `--poll` are for guests that need them. The other ones limit what a driver can
/// negotiate. They are for tests and measurements.
#[derive(Clone, Debug, clap::Args)]
#[command(group = ArgGroup::new("place").required(true).args(["socket_path", "fd"]))]
pub struct Options {
    /// Where front ends connect: a socket that this program makes, and removes at its end
    #[arg(long, value_name = "PATH", alias = "socket")]
    pub socket_path: Option<PathBuf>,
    /// The file descriptor of a socket that this program has inherited: one that listens, or one that is connected
    #[arg(long, value_name = "FDNUM", value_parser = value_parser!(i32).range(3..))]
    pub fd: Option<i32>,
    /// Print what this program can do, as JSON, and exit
    #[arg(long)]
    print_capabilities: bool,
    /// The largest queue that a front end may set up, in descriptors
    #[arg(
        long,
        value_name = "N",
        default_value_t = DEFAULT_QUEUE_SIZE,
        value_parser = value_parser!(u16).range(1..=32768)
    )]
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
    /// Offer IN_ORDER: if the driver accepts it, requests are answered in the order in which they came
    #[arg(long)]
    pub in_order: bool,
    /// Record the chains in flight of packed rings in this file, so that the next process can continue after a crash;
    /// for front ends that keep no record. The file is made if it does not exist, and must not have anything else in it
    #[arg(long, value_name = "PATH")]
    pub record: Option<PathBuf>,
    /// Do not wait for kicks while there are requests: a busy worker uses a whole processor, and waits for kicks after
    /// a few milliseconds without requests
    #[arg(long)]
    pub poll: bool,
}

impl Options {
    /// Returns the options of a back end whose front ends connect at `path`, with all else as it is by default.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { socket_path: Some(path.into()), ..Self::nowhere() }
    }

    /// Returns the options of a back end that takes over the socket with the file descriptor `fd`, with all else as it
    /// is by default.
    #[must_use]
    pub const fn inherited(fd: i32) -> Self {
        let mut options = Self::nowhere();
        options.fd = Some(fd);
        options
    }

    const fn nowhere() -> Self {
        Self {
            socket_path: None,
            fd: None,
            print_capabilities: false,
            queue_size: DEFAULT_QUEUE_SIZE,
            no_packed: false,
            no_event_idx: false,
            no_indirect: false,
            in_order: false,
            record: None,
            poll: false,
        }
    }

    /// Returns where front ends find the device, in words.
    pub(crate) fn place(&self) -> String {
        match (&self.socket_path, self.fd) {
            (Some(path), _) => path.display().to_string(),
            (None, Some(fd)) => format!("file descriptor {fd}"),
            (None, None) => "nowhere".into(),
        }
    }

    /// Checks that a record can be in the file that was named for it.
    ///
    /// # Errors
    ///
    /// If there is such a file, and it cannot be a record.
    pub(crate) fn check_record(&self) -> io::Result<()> {
        let Some(path) = &self.record else { return Ok(()) };
        OwnRecord::check(path).map_err(|error| io::Error::other(format!("--record {}: {error}", path.display())))
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
