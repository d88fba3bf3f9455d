//! One line of the table.

use std::path::Path;

use anyhow::{Result, ensure};

use super::super::matrix::{INDIRECT_DESC, RING_PACKED, VERSION_1};
use super::network::Network;
use super::testpmd::Testpmd;
use crate::packets::Report;

const MRG_RXBUF: u64 = 1 << 15;
const MQ: u64 = 1 << 22;
/// CTRL_RX and CTRL_MAC_ADDR: what goes with the control queue, which virtio-user keeps to itself.
const CONTROL: u64 = 1 << 18 | 1 << 23;
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
    const SPLIT: Self = Self { packed: false, in_order: false };
    const SPLIT_IN_ORDER: Self = Self { packed: false, in_order: true };
    const PACKED: Self = Self { packed: true, in_order: false };
    const PACKED_IN_ORDER: Self = Self { packed: true, in_order: true };
    pub(super) const ALL: [Self; 4] = [Self::SPLIT, Self::SPLIT_IN_ORDER, Self::PACKED, Self::PACKED_IN_ORDER];

    pub(super) fn name(self) -> &'static str {
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

/// What driver and device send each other.
#[derive(Clone, Copy)]
pub(super) enum Traffic {
    /// Packets of the driver, which the device looks at and counts.
    Sink,
    /// Packets of the device, which come into a file.
    Source,
    /// Packets from a file, through the device, into another file.
    Loopback,
    /// As the first, and the queues are stopped and started again and again.
    RestartedSink,
    /// As the second, in the same way.
    RestartedSource,
    /// The driver is killed again and again while there is traffic in both directions.
    Killed,
}

impl Case {
    /// Returns the features that are to be negotiated.
    pub(super) fn features(&self) -> u64 {
        let Self { format: Format { packed, in_order }, mergeable, .. } = *self;
        let chosen = [
            (RING_PACKED, packed),
            (IN_ORDER, in_order),
            (MRG_RXBUF, mergeable),
            (INDIRECT_DESC, self.indirect()),
            (MQ | CONTROL, self.pairs > 1),
        ];
        let chosen = chosen.into_iter().filter(|(_, wanted)| *wanted).map(|(feature, _)| feature);
        VERSION_1 | chosen.sum::<u64>()
    }

    /// Returns whether there may be indirect tables. Where it makes them of packed descriptors, testpmd 22.11 says that
    /// the header is to be written.
    fn indirect(&self) -> bool {
        !(self.format.packed && self.mergeable)
    }

    pub(super) fn about(&self) -> String {
        let mergeable = if self.mergeable { ", MRG" } else { "" };
        let pairs = if self.pairs > 1 { format!(", {} pairs", self.pairs) } else { String::new() };
        format!("{}{mergeable}{pairs}, {}", self.traffic.name(), self.waiting.name())
    }

    /// Checks that what was negotiated is what the case is about.
    pub(super) fn check(&self, report: &Report) -> Result<()> {
        let (negotiated, asked) = (report.features, self.features());
        ensure!(negotiated == asked, "features {negotiated:#x} were negotiated, of which {asked:#x} were asked for");
        Ok(())
    }

    /// Starts the back end with these arguments, and those of the case.
    pub(super) fn back_end(&self, program: &Path, args: &[&str]) -> Result<Network> {
        let mut args = args.to_vec();
        args.push("--in-order");
        if !self.indirect() {
            args.push("--no-indirect");
        }
        if let Waiting::Polls = self.waiting {
            args.push("--poll");
        }
        Network::start(program, self.pairs, &args)
    }

    /// Starts testpmd with these arguments, and its ports: the driver of what listens at `socket` as port 0, others
    /// after it.
    pub(super) fn testpmd(&self, socket: &Path, others: &[String], args: &[&str]) -> Result<Testpmd> {
        let Self { format: Format { packed, in_order }, mergeable, pairs, .. } = *self;
        let flag = u8::from;
        let driver = format!(
            "net_virtio_user0,path={},queues={pairs},queue_size={QUEUE_SIZE},packed_vq={},in_order={},mrg_rxbuf={}",
            socket.display(),
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
        testpmd.start_ports()?;
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
            Self::Kicks => "kick",
            Self::Polls => "poll",
        }
    }
}

impl Traffic {
    fn name(self) -> &'static str {
        match self {
            Self::Sink => "sink",
            Self::Source => "source",
            Self::Loopback => "loopback",
            Self::RestartedSink => "sink restarted",
            Self::RestartedSource => "source restarted",
            Self::Killed => "driver killed",
        }
    }
}
