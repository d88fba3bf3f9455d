//! `vhost-user-net` next to DPDK's own back end, `net_vhost` under another testpmd, with the same driver.
//!
//! Each back end has the first processor for itself, and the driver the last. The two take turns, each time as new processes,
//! because the same case may vary by half from one run to the next.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::super::back_end::build;
use super::case::{Case, Format, Waiting};
use super::testpmd::Testpmd;
use super::traffic::Traffic;
use crate::report::format::{number, rate};
use crate::report::spread::Spread;
use crate::report::table::markdown;
use crate::spinner::Spinner;

/// How often each back end has its turn.
const ROUNDS: usize = 7;

/// How long packets are counted in each.
const TIME: Duration = Duration::from_millis(500);

/// How many packets there are before that.
const WARM_UP: u64 = 500_000;

/// How many times as fast as DPDK's back end this one is to be.
const TARGET: f64 = 1.0;

/// The processor of the back ends.
const PROCESSOR: usize = 0;

/// Who sends.
#[derive(Clone, Copy)]
enum Direction {
    ToDevice,
    ToDriver,
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Self::ToDevice => "to the device",
            Self::ToDriver => "to the driver",
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

/// Packets per second, in each round.
#[derive(Default)]
struct Measured {
    ours: Vec<f64>,
    peer: Vec<f64>,
}

/// Measures both back ends in every format and direction, and prints a table.
pub(in super::super) fn bench() -> Result<()> {
    let program = build("vhost-user-net")?;
    let mut rows = Vec::new();
    for direction in [Direction::ToDevice, Direction::ToDriver] {
        for format in Format::ALL {
            let spinner = Spinner::new(format!("{} {}", direction.name(), format.name()));
            let measured = measure(&program, direction, format, &spinner)?;
            rows.push(measured.row(direction, format).context("there was no round")?);
        }
    }
    let head = ["64 byte packets", "rings", "vhost-user-net", "between", "net_vhost", "between", "ratio", "target"];
    print!("{}", markdown(&head, 2, rows));
    Ok(())
}

fn measure(program: &Path, direction: Direction, format: Format, spinner: &Spinner) -> Result<Measured> {
    let mut measured = Measured::default();
    for round in 1..=ROUNDS {
        spinner.show(&format!("round {round} of {ROUNDS}"));
        measured.ours.push(ours(program, direction, format)?);
        measured.peer.push(peer(direction, format)?);
    }
    Ok(measured)
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

fn case(format: Format) -> Case {
    Case { format, mergeable: false, waiting: Waiting::Polls, pairs: 1, traffic: Traffic::Sink }
}

impl Measured {
    /// Returns a row of the table. The ratio is taken in each round.
    fn row(&self, direction: Direction, format: Format) -> Option<Vec<String>> {
        let spread = |values: &[f64]| Spread::of_values(values.iter().copied());
        let between = |spread: &Spread| format!("{} to {}", rate(spread.low), rate(spread.high));
        let (ours, peer) = (spread(&self.ours)?, spread(&self.peer)?);
        let ratios: Vec<_> = self.ours.iter().zip(&self.peer).map(|(ours, peer)| ours / peer).collect();
        let ratio = spread(&ratios)?;
        let verdict = if ratio.median >= TARGET { "met" } else { "missed" };
        Some(vec![
            direction.name().into(),
            format.name().into(),
            rate(ours.median),
            between(&ours),
            rate(peer.median),
            between(&peer),
            format!("{} ({} to {})", number(ratio.median), number(ratio.low), number(ratio.high)),
            format!("at least {} {verdict}", number(TARGET)),
        ])
    }
}
