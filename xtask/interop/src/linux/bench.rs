//! `vhost-user-net` next to QEMU's own network device, with the same guest on the same kind of TAP device.
//!
//! The two take turns, each time with a new network, new processes and a guest that boots. The guest sends through one
//! TCP connection, and receives through another one after that.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::case;
use super::device::GuestDevice;
use super::flow::{Direction, Flow, Speed};
use super::guest::{Guest, properties};
use super::net::{ADDRESS, Interface, OFFLOADS, TAP};
use super::network::Network;
use super::system::System;
use crate::back_end::BackEnd;
use crate::comparison::ROUNDS;
use crate::matrix::{EVENT_IDX, INDIRECT_DESC};
use crate::packets::Report;
use xtask_report::{Case, CaseId, Unit};
use xtask_support::Spinner;

const TASK: &str = "net_flows";
/// The port that the guest connects to.
const PORT: u16 = 7003;

/// What is negotiated of the rings.
const CASE: case::Case = case::Case { features: EVENT_IDX | INDIRECT_DESC, queues: 1 };
/// What is negotiated besides: the offloads, and buffers that can be shorter than a packet.
const SHARED: u64 = OFFLOADS | 1 << 15;

/// The guest's device, whoever serves it. It has no MSI-X, as in all guests with a network, and no offloads but the
/// `SHARED` ones.
const DEVICE: &str = "virtio-net-pci,netdev=network,mq=off,rx_queue_size=256,tx_queue_size=256,guest_ufo=off,\
                      host_ufo=off,vectors=0,romfile=";

/// Who serves the network device of the guest.
#[derive(Clone, Copy)]
enum Server {
    Ours,
    Qemu,
}

/// What the cases are called.
pub(super) const FIGURE: &str = "tap-flow";
pub(super) const TIME_FIGURE: &str = "tap-flow-processor-time";

/// All who have a turn, and what they are called.
const SERVERS: [(&str, Server); 2] = [("vhost-user-net TAP", Server::Ours), ("QEMU's virtio-net", Server::Qemu)];

/// What a turn has shown, in the order of the directions.
type Turn = [Speed; 2];

/// What there is in all turns.
struct Rig<'a> {
    system: System,
    program: &'a Path,
}

/// A network with a TAP device, where the host waits for connections.
struct Host {
    network: Network,
    listener: TcpListener,
}

/// Measures both.
pub(crate) fn bench(program: &Path) -> Result<Vec<Case>> {
    let rig = Rig { system: System::prepare()?, program };
    let spinner = Spinner::new(FIGURE.to_owned());
    let mut turns = SERVERS.map(|(name, _)| (name, Vec::new()));
    for round in 1..=ROUNDS {
        for ((name, server), (_, turns)) in SERVERS.into_iter().zip(&mut turns) {
            spinner.show(&format!("round {round} of {ROUNDS}, {name}"));
            turns.push(rig.turn(server).with_context(|| name)?);
        }
    }
    Ok(turns.iter().flat_map(|(name, turns)| cases(name, turns)).collect())
}

/// Returns what the turns of one have shown.
fn cases(name: &str, turns: &[Turn]) -> Vec<Case> {
    let cases = Direction::BOTH.iter().enumerate().flat_map(|(index, direction)| {
        let case = |figure, unit, value: fn(&Speed) -> f64| {
            let values = turns.iter().filter_map(|turn| turn.get(index).map(value)).collect();
            Case::of_values(CaseId::new(figure, name, direction.name()), unit, values)
        };
        [
            case(FIGURE, Unit::BytesPerSecond, |speed| speed.bytes_per_second),
            case(TIME_FIGURE, Unit::Nanoseconds, |speed| speed.processor_time),
        ]
    });
    cases.collect()
}

impl Rig<'_> {
    fn turn(&self, server: Server) -> Result<Turn> {
        let host = Host::new()?;
        match server {
            Server::Ours => self.turn_of_ours(&host),
            Server::Qemu => self.turn_of_qemu(&host),
        }
    }

    fn turn_of_ours(&self, host: &Host) -> Result<Turn> {
        let start = || BackEnd::start(self.program, &["--mode", "tap", "--tap", TAP]);
        let mut back_end = host.network.inside(start)?;
        let socket = format!("socket,id=socket,path={}", back_end.socket().display());
        let guest = self.boot(host, &["-chardev", &socket, "-netdev", "vhost-user,id=network,chardev=socket"])?;
        let turn = host.measure(guest, Some(&back_end))?;
        check_report(&back_end.next_line()?)?;
        Ok(turn)
    }

    fn turn_of_qemu(&self, host: &Host) -> Result<Turn> {
        let tap = format!("tap,id=network,ifname={TAP},script=no,downscript=no,vhost=off");
        host.measure(self.boot(host, &["-netdev", &tap])?, None)
    }

    fn boot(&self, host: &Host, options: &[&str]) -> Result<Guest> {
        let mut command = Guest::command(&self.system, TASK, "256");
        // With two, which share what they emulate of the machine, a flow is slower, and differs more from turn to turn.
        command.args(["-smp", "1"]).args(options).args(["-device", &format!("{DEVICE}{}", properties(CASE.features))]);
        host.network.inside(|| Guest::run(command))
    }
}

impl Host {
    fn new() -> Result<Self> {
        let network = Network::new()?;
        network.add_tap(TAP)?;
        network.bring_up(TAP, ADDRESS)?;
        let listen = || TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).context("cannot listen");
        let listener = network.inside(listen)?;
        Ok(Self { network, listener })
    }

    /// Takes part in what the guest does, to its end.
    fn measure(&self, mut guest: Guest, back_end: Option<&BackEnd>) -> Result<Turn> {
        let features = guest.said_features(&CASE, Interface::MULTI_QUEUE)?;
        ensure!(features & SHARED == SHARED, "features {features:#x} were negotiated, without all of {SHARED:#x}");
        match self.measure_flows(&guest, back_end) {
            Ok(turn) => guest.end().map(|()| turn),
            Err(error) => Err(error.context(guest.last_words())),
        }
    }

    fn measure_flows(&self, guest: &Guest, back_end: Option<&BackEnd>) -> Result<Turn> {
        let used = || {
            let of_back_end = back_end.map_or(Ok(Duration::ZERO), BackEnd::processor_time)?;
            Ok(of_back_end + guest.processor_time()?)
        };
        let speed = |direction| Flow::accept(&self.listener, direction)?.measure(used);
        let [first, second] = Direction::BOTH;
        Ok([speed(first)?, speed(second)?])
    }
}

/// Checks that segmentation was left to the other side, in both directions.
fn check_report(line: &str) -> Result<()> {
    let pair = Report::parse(line).with_context(|| format!("the back end says {line:?}"))?;
    let large = [pair.transmitted, pair.received].map(|count| count.large);
    ensure!(large.iter().all(|large| *large > 0), "{large:?} packets were longer than an MTU: {line}");
    Ok(())
}
