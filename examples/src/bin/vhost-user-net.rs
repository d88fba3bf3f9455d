//! Serves a network device to vhost-user front ends.

#![expect(clippy::std_instead_of_alloc, reason = "a program has the standard library")]

use core::error::Error;
use core::sync::atomic::{AtomicU64, Ordering};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, ValueEnum, value_parser};
use virtio_examples::net::{
    AnyPort, ControlQueue, Counters, Loopback, MAX_FRAME, MacAddress, NetConfig, NetDevice, Port, Settings, Sink,
    Source, Tap, TapQueues, announcement, feature,
};
use virtio_vhost_user::{Options, VhostUserDevice, Worker};
use zerocopy::IntoBytes;

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
    /// The number of queue pairs, each with a thread of its own. A driver can use fewer. With QEMU, its network and its
    /// device must say so too: `queues=N` and `mq=on`
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u8).range(1..=127))]
    queues: u8,
    /// The TAP device, which is made if it is not there. It has a queue for each pair
    #[arg(long, value_name = "NAME", required_if_eq("mode", "tap"))]
    tap: Option<String>,
    /// The hardware address of the device, such as 02:00:00:00:00:01. QEMU and DPDK have one of their own, and ignore
    /// it. Without it, the driver chooses one
    #[arg(long, value_name = "ADDRESS", value_parser = mac_address)]
    mac: Option<MacAddress>,
    /// Do not offer to put a packet into several buffers. Without this option, a buffer can be shorter than a packet
    #[arg(long)]
    no_mergeable: bool,
    /// Do not offer checksums and segmentation of TCP, in either direction. Without this option, a driver can send and
    /// receive packets of 64 KiB, which the host cuts into segments or puts together
    #[arg(long)]
    no_offloads: bool,
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

/// Takes a hardware address apart: six numbers with two hexadecimal digits, with colons between them.
fn mac_address(text: &str) -> Result<MacAddress, String> {
    let is_byte = |part: &str| part.len() == 2 && part.chars().all(|digit| digit.is_ascii_hexdigit());
    let byte = |part| u8::from_str_radix(part, 16).ok().filter(|_| is_byte(part));
    let bytes: Option<Vec<_>> = text.split(':').map(byte).collect();
    let address = bytes.and_then(|bytes| MacAddress::try_from(bytes).ok());
    let address = address.ok_or("it must be six pairs of hexadecimal digits with colons between them")?;
    if address[0] & 1 != 0 { Err("it must not be a multicast address".into()) } else { Ok(address) }
}

/// A network device without a connection.
struct Network {
    pairs: Vec<Pair>,
    /// What the driver sets by the control queue.
    settings: Arc<Settings>,
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
        let pairs = pairs.collect::<Result<_, _>>()?;
        Ok(Self { pairs, settings: Arc::new(Settings::new(args.mac)), features: features(args) })
    }

    /// Returns the number of the control queue, for a driver that accepted `features`: it comes after all pairs that
    /// the driver can use.
    fn control_queue(&self, features: u64) -> usize {
        let pairs = if features & feature::MQ == 0 { 1 } else { self.pairs.len() };
        pairs * Self::QUEUES_PER_WORKER
    }
}

/// Returns the features that are offered.
fn features(args: &Args) -> u64 {
    let optional = [
        (feature::MRG_RXBUF, !args.no_mergeable),
        (feature::OFFLOADS, !args.no_offloads),
        (feature::MAC, args.mac.is_some()),
        (feature::MQ, args.queues > 1),
    ];
    let offered = optional.into_iter().filter(|(_, offered)| *offered);
    offered.fold(feature::STATUS | feature::CONTROL, |features, (feature, _)| features | feature)
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
    const ANNOUNCES: bool = true;

    fn worker(&self, queue: usize, features: u64) -> Worker {
        let settings = Arc::clone(&self.settings);
        match self.pairs.get(queue / Self::QUEUES_PER_WORKER) {
            Some(Pair { port, accepted, counters }) if queue != self.control_queue(features) => {
                // Relaxed: it is a number, for people.
                accepted.store(features, Ordering::Relaxed);
                Worker::serve(NetDevice::new(port.clone(), features, settings, Arc::clone(counters)))
            }
            _ => {
                let ports = self.pairs.iter().map(|pair| pair.port.clone()).collect();
                Worker::serve(ControlQueue::new(settings, ports, features))
            }
        }
    }

    fn announce(&self, address: MacAddress) {
        let Some(mut port) = self.pairs.first().map(|pair| pair.port.clone()) else { return };
        let packet = announcement(address);
        if let Some(room) = port.room().get_mut(..packet.len()) {
            room.copy_from_slice(&packet);
            // It can be lost, as on every network.
            let _ = port.transmit(packet.len());
        }
    }

    fn features(&self) -> u64 {
        self.features
    }

    fn config(&self) -> Vec<u8> {
        let mac = self.settings.address().unwrap_or_default();
        let max_virtqueue_pairs = u16::try_from(self.pairs.len()).unwrap_or(u16::MAX).into();
        NetConfig { mac, status: NetConfig::LINK_UP.into(), max_virtqueue_pairs }.as_bytes().to_vec()
    }

    /// Returns the number of queues: two for each pair, and the control queue.
    fn num_queues(&self) -> usize {
        self.pairs.len() * Self::QUEUES_PER_WORKER + 1
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
