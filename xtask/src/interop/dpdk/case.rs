//! One line of the table.

use std::path::Path;

use anyhow::{Result, ensure};

use super::network::{Network, Report};
use super::testpmd::Testpmd;
use super::traffic::Traffic;

/// Features that are looked at, and what they are called in the table.
const FEATURES: [(u64, &str); 6] = [
    (MRG_RXBUF, "MRG_RXBUF"),
    (1 << 22, "MQ"),
    (1 << 28, "INDIRECT"),
    (1 << 29, "EVENT_IDX"),
    (RING_PACKED, "PACKED"),
    (IN_ORDER, "IN_ORDER"),
];
const MRG_RXBUF: u64 = 1 << 15;
const RING_PACKED: u64 = 1 << 34;
const IN_ORDER: u64 = 1 << 35;

/// How many descriptors each queue has.
pub(super) const QUEUE_SIZE: u16 = 256;

/// The room for bytes in a small buffer, and what makes testpmd have such buffers: their size includes other things.
const SMALL_BUFFER: usize = 512;
const SMALL_BUFFERS: &str = "--mbuf-size=640";

/// What is negotiated, and what is done then.
#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) format: Format,
    /// Whether a packet may take several buffers. They are so small then that many do.
    pub(super) mergeable: bool,
    pub(super) waiting: Waiting,
    /// How many pairs of queues there are.
    pub(super) pairs: usize,
    pub(super) traffic: Traffic,
}

/// A format of rings, and whether the order is kept.
#[derive(Clone, Copy)]
pub(super) struct Format {
    packed: bool,
    in_order: bool,
}

impl Format {
    pub(super) const SPLIT: Self = Self { packed: false, in_order: false };
    pub(super) const SPLIT_IN_ORDER: Self = Self { packed: false, in_order: true };
    pub(super) const PACKED: Self = Self { packed: true, in_order: false };
    pub(super) const PACKED_IN_ORDER: Self = Self { packed: true, in_order: true };

    fn name(self) -> &'static str {
        match (self.packed, self.in_order) {
            (false, false) => "split",
            (false, true) => "split in-order",
            (true, false) => "packed",
            (true, true) => "packed in-order",
        }
    }
}

/// How the back end waits for packets.
#[derive(Clone, Copy)]
pub(super) enum Waiting {
    /// For kicks.
    Kicks,
    /// It does not.
    Polls,
}

impl Case {
    pub(super) const HEADING: &str = "driver   device          format           mergeable  waits for  pairs  traffic           packets  verdict, features negotiated";

    /// Runs it and prints its line, and returns whether it passed.
    pub(super) fn run_and_report(&self, program: &Path) -> bool {
        let outcome = self.traffic.run(self, program).and_then(|report| self.check(&report).map(|()| report));
        let passed = outcome.is_ok();
        let (packets, verdict) = match outcome {
            Ok(report) => {
                (report.transmitted.packets + report.received.packets, format!("ok, {}", names(report.features)))
            }
            Err(error) => (0, format!("FAILED: {error:#}")),
        };
        println!(
            "testpmd  vhost-user-net  {:<15}  {:<9}  {:<9}  {:>5}  {:<16}  {packets:>7}  {verdict}",
            self.format.name(),
            if self.mergeable { "yes" } else { "no" },
            self.waiting.name(),
            self.pairs,
            self.traffic.name(),
        );
        passed
    }

    /// Checks that what was negotiated is what the case is about.
    fn check(&self, report: &Report) -> Result<()> {
        let Self { format: Format { packed, in_order }, mergeable, .. } = *self;
        for (feature, wanted) in [(RING_PACKED, packed), (IN_ORDER, in_order), (MRG_RXBUF, mergeable)] {
            ensure!((report.features & feature != 0) == wanted, "negotiated {}", names(report.features));
        }
        Ok(())
    }

    /// Starts the back end with these arguments, and those of the case.
    pub(super) fn back_end(&self, program: &Path, args: &[&str]) -> Result<Network> {
        let mut args = args.to_vec();
        args.push("--in-order");
        if self.format.packed && self.mergeable {
            // Where it makes indirect tables of packed descriptors, testpmd 22.11 says that the header is to be written.
            args.push("--no-indirect");
        }
        if let Waiting::Polls = self.waiting {
            args.push("--poll");
        }
        Network::start(program, self.pairs, &args)
    }

    /// Starts testpmd, and its ports: the driver as port 0, other ports after it, and these arguments.
    pub(super) fn testpmd(&self, network: &Network, others: &[String], args: &[&str]) -> Result<Testpmd> {
        let Self { format: Format { packed, in_order }, mergeable, pairs, .. } = *self;
        let flag = u8::from;
        let driver = format!(
            "net_virtio_user0,path={},queues={pairs},queue_size={QUEUE_SIZE},packed_vq={},in_order={},mrg_rxbuf={}",
            network.back_end.socket().display(),
            flag(packed),
            flag(in_order),
            flag(mergeable),
        );
        let queues = [format!("--rxq={pairs}"), format!("--txq={pairs}")];
        let mut all: Vec<_> = queues.iter().map(String::as_str).chain(args.iter().copied()).collect();
        if mergeable {
            all.push(SMALL_BUFFERS);
        }
        let mut testpmd = Testpmd::start(&[&[driver], others].concat(), &all)?;
        if mergeable {
            testpmd.command("port config 0 rx_offload scatter on")?;
        }
        let said = testpmd.command("port start all")?;
        ensure!(!said.to_lowercase().contains("fail"), "testpmd has no ports: {said:?}");
        Ok(testpmd)
    }

    /// Returns the lengths of the pieces in which testpmd makes a packet of `len` bytes.
    pub(super) fn pieces(&self, len: usize) -> String {
        let piece = if self.mergeable { SMALL_BUFFER } else { len };
        let pieces = (0..len).step_by(piece).map(|start| piece.min(len - start).to_string());
        pieces.collect::<Vec<_>>().join(",")
    }
}

impl Waiting {
    fn name(self) -> &'static str {
        match self {
            Self::Kicks => "kicks",
            Self::Polls => "nothing",
        }
    }
}

/// Returns the names of those features that are looked at.
fn names(features: u64) -> String {
    let names = FEATURES.iter().filter(|(feature, _)| features & feature != 0).map(|(_, name)| *name);
    names.collect::<Vec<_>>().join(" ")
}
