//! `vhost-user-net` next to DPDK's own back end, `net_vhost` under another testpmd, with the same driver.
//!
//! Each back end has the first processor for itself, and the driver the last. The two take turns, each time as new
//! processes, because the same case may vary by half from one run to the next.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::super::back_end::PROCESSOR;
use super::super::comparison::Comparison;
use super::case::{self, Format, Traffic, Waiting};
use super::testpmd::Testpmd;
use xtask_report::{Case, Unit};

/// How long packets are counted in each.
const TIME: Duration = Duration::from_millis(500);

/// How many packets there are before that.
const WARM_UP: u64 = 500_000;

/// Who sends.
#[derive(Clone, Copy)]
enum Direction {
    ToDevice,
    ToDriver,
}

impl Direction {
    fn figure(self) -> &'static str {
        match self {
            Self::ToDevice => "net-to-device",
            Self::ToDriver => "net-to-driver",
        }
    }

    /// Returns what `vhost-user-net` is for that, and how the testpmd of a driver and of a back end forward packets.
    fn modes(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::ToDevice => ("sink", "txonly", "rxonly"),
            Self::ToDriver => ("source", "rxonly", "txonly"),
        }
    }
}

/// Measures both back ends in every format and direction.
pub(crate) fn bench(program: &Path) -> Result<Vec<Case>> {
    Testpmd::ensure_installed()?;
    let mut cases = Vec::new();
    for direction in [Direction::ToDevice, Direction::ToDriver] {
        for format in Format::ALL {
            let comparison = Comparison {
                figure: direction.figure(),
                value: format.name(),
                unit: Unit::PacketsPerSecond,
                ours: "vhost-user-net",
                peer: "net_vhost",
            };
            cases.extend(comparison.measure(|| ours(program, direction, format), || peer(direction, format))?);
        }
    }
    Ok(cases)
}

/// Returns how many packets per second there are with `vhost-user-net`.
fn ours(program: &Path, direction: Direction, format: Format) -> Result<f64> {
    let (mode, ..) = direction.modes();
    let network = case(format).back_end(program, &["--mode", mode])?;
    network.back_end.run_on(PROCESSOR)?;
    packets_per_second(network.back_end.socket(), direction, format)
}

/// Returns how many there are with DPDK's back end.
fn peer(direction: Direction, format: Format) -> Result<f64> {
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("socket");
    let (.., mode) = direction.modes();
    let device = format!("net_vhost0,iface={}", socket.display());
    let mut testpmd = Testpmd::start_on(PROCESSOR, &[device], &[&format!("--forward-mode={mode}")])?;
    testpmd.start_ports()?;
    testpmd.command("start")?;
    packets_per_second(&socket, direction, format)
}

/// Returns how many packets the driver counts.
fn packets_per_second(socket: &Path, direction: Direction, format: Format) -> Result<f64> {
    let (_, mode, _) = direction.modes();
    let mut testpmd = case(format).testpmd(socket, &[], &[&format!("--forward-mode={mode}")])?;
    testpmd.command("start")?;
    let (before, began) = (testpmd.wait_for(0, |now| now.packets() >= WARM_UP)?, Instant::now());
    thread::sleep(TIME);
    let (after, took) = (testpmd.stats(0)?, began.elapsed());
    #[expect(clippy::cast_precision_loss, reason = "there are not that many packets")]
    let packets = (after.packets() - before.packets()) as f64;
    Ok(packets / took.as_secs_f64())
}

fn case(format: Format) -> case::Case {
    case::Case { format, mergeable: false, waiting: Waiting::Polls, pairs: 1, traffic: Traffic::Sink }
}
