//! Serves a network device to vhost-user front ends.

#![expect(clippy::std_instead_of_alloc, reason = "a program has the standard library")]

use core::error::Error;
use core::sync::atomic::{AtomicU64, Ordering};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, ValueEnum, value_parser};
use virtio_examples::net::{
    AnyPort, Counters, Loopback, MAX_FRAME, NetConfig, NetDevice, Sink, Source, Tap, TapQueues, feature,
};
use virtio_vhost_user::{Options, VhostUserDevice, Worker};
use zerocopy::{FromZeros, IntoBytes};

/// Serves a network device to vhost-user front ends, one after the other
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    options: Options,
    /// What the device is connected to
    #[arg(long)]
    mode: Mode,
    /// The bytes of a frame, for a source
    #[arg(long, value_name = "N", default_value_t = 64,
        value_parser = value_parser!(u16).range(i64::from(Source::MIN_LEN)..=MAX_FRAME as i64))]
    packet_size: u16,
    /// How many packets a source has for each driver, if they are to end
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    packets: u64,
    /// The number of queue pairs, each with a thread of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u8).range(1..=128))]
    queues: u8,
    /// The TAP device, which is made if it is not there
    #[arg(long, value_name = "NAME", required_if_eq("mode", "tap"))]
    tap: Option<String>,
    /// Do not offer to put a packet into several buffers
    #[arg(long)]
    no_mergeable: bool,
}

/// What a network device is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// To nothing: packets are counted, and looked at
    Sink,
    /// To something that has packets of its own
    Source,
    /// To itself: packets come back
    Loopback,
    /// To a TAP device of the host
    Tap,
}

fn main() -> ExitCode {
    virtio_vhost_user::run(|args: Args| {
        let options = args.options.clone();
        Ok((options, Network::new(&args)?))
    })
}

/// A network device without a connection.
struct Network {
    pairs: Vec<Pair>,
    features: u64,
}

/// The port of one pair of queues, and its counters.
struct Pair {
    port: AnyPort,
    /// The features that the last driver accepted.
    accepted: AtomicU64,
    counters: Arc<Counters>,
}

impl Network {
    fn new(args: &Args) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let pairs = (0..args.queues).map(|index| {
            let port = port(args, index)?;
            Ok::<_, Box<dyn Error + Send + Sync>>(Pair { port, accepted: AtomicU64::new(0), counters: Arc::default() })
        });
        let mergeable = if args.no_mergeable { 0 } else { feature::MRG_RXBUF };
        let several = if args.queues > 1 { feature::MQ } else { 0 };
        Ok(Self { pairs: pairs.collect::<Result<_, _>>()?, features: mergeable | several })
    }
}

/// Returns what the pair `index` is connected to.
fn port(args: &Args, index: u8) -> Result<AnyPort, Box<dyn Error + Send + Sync>> {
    Ok(match args.mode {
        Mode::Sink => AnyPort::Sink(Sink::new()),
        Mode::Source => {
            AnyPort::Source(Source::new(args.packet_size, index, args.packets).ok_or("there are no such packets")?)
        }
        Mode::Loopback => AnyPort::Loopback(Loopback::new()),
        Mode::Tap => {
            let (name, queues) = (args.tap.as_deref().unwrap_or_default(), args.queues);
            let queues = if queues > 1 { TapQueues::Many } else { TapQueues::One };
            AnyPort::Tap(Tap::open(name, queues).map_err(|error| format!("{name}: {error}"))?)
        }
    })
}

impl VhostUserDevice for Network {
    const TYPE: &'static str = "net";
    const QUEUES_PER_WORKER: usize = 2;

    #[expect(clippy::indexing_slicing, reason = "there are as many workers as pairs")]
    fn worker(&self, queue: usize, features: u64) -> Worker {
        let Pair { port, accepted, counters } = &self.pairs[queue / Self::QUEUES_PER_WORKER];
        // Relaxed: it is a number, for people.
        accepted.store(features, Ordering::Relaxed);
        Worker::serve(NetDevice::new(port.clone(), features, Arc::clone(counters)))
    }

    fn features(&self) -> u64 {
        self.features
    }

    fn config(&self) -> Vec<u8> {
        let max_virtqueue_pairs = u16::try_from(self.pairs.len()).unwrap_or(u16::MAX).into();
        NetConfig { max_virtqueue_pairs, ..NetConfig::new_zeroed() }.as_bytes().to_vec()
    }

    fn num_queues(&self) -> usize {
        self.pairs.len() * Self::QUEUES_PER_WORKER
    }

    /// Returns what drivers have accepted, sent and received.
    fn report(&self) -> String {
        let line = |(index, Pair { counters, accepted, .. }): (usize, &Pair)| {
            let (transmitted, received) = (counters.transmitted.get(), counters.received.get());
            let accepted = accepted.load(Ordering::Relaxed);
            format!("pair {index}: features {accepted:#x}; transmitted {transmitted}; received {received}")
        };
        self.pairs.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
    }
}
