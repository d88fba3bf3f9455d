//! What is varied: one figure each, with a chart and a table.

use std::cmp::Ordering;

use crate::case::Case;
use crate::contender;
use crate::report::Report;
use crate::unit::Unit;

/// What a figure shows.
#[derive(Debug, Clone, Copy)]
pub struct Figure<'r> {
    /// What criterion knows it by.
    pub name: &'r str,
    pub title: &'r str,
    /// What the values are.
    pub axis: &'r str,
    /// All else that one needs to know.
    pub about: &'r str,
    pub shows: Shows,
}

/// What is put on the other axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// The cost, over an axis of numbers.
    Cost,
    /// The cost in units of a plain copy of the same bytes, over an axis of numbers.
    TimesMemcpy,
    /// The cost, with one row for each case.
    Rows,
    /// As before, but what takes time is a round trip.
    RoundTrips,
    /// As before, but what takes time is a request.
    Requests,
    /// As before, but what takes time is a KiB.
    Flows,
}

use Shows::{Cost, Flows, Requests, RoundTrips, Rows, TimesMemcpy};

/// All that are known, in the order in which they are shown.
const FIGURES: [Figure<'static>; 32] = [
    figure(
        "chain-direct",
        Cost,
        "Cost by chain length, direct",
        "descriptors per chain",
        "Bursts of 32, queue size 256.",
    ),
    figure(
        "chain-indirect",
        Cost,
        "Cost by chain length, indirect",
        "descriptors per chain",
        "As before, but all descriptors are in a table of their own.",
    ),
    figure(
        "burst-1",
        Cost,
        "Cost by burst, chains of 1 descriptor",
        "chains per burst",
        "A burst of one is published alone, with a notification test of its own.",
    ),
    figure(
        "burst-8",
        Cost,
        "Cost by burst, chains of 8 descriptors",
        "chains per burst",
        "As before, with longer chains.",
    ),
    figure(
        "queue-size",
        Cost,
        "Cost by queue size",
        "queue size",
        "Bursts of 16. Small rings stay in the cache, large ones do not.",
    ),
    figure(
        "regions",
        Cost,
        "Cost by memory regions",
        "memory regions",
        "Chains of 8 descriptors, with buffers anywhere in all regions.",
    ),
    figure(
        "payload-read",
        TimesMemcpy,
        "Payload read, the copy alone",
        "bytes",
        "Out of chains that were fetched before.",
    ),
    figure(
        "payload-write",
        TimesMemcpy,
        "Payload written, the copy alone",
        "bytes",
        "Into chains that were fetched before.",
    ),
    figure(
        "request-read",
        TimesMemcpy,
        "Payload read, whole request",
        "bytes",
        "With fetching and completing the chain.",
    ),
    figure(
        "request-write",
        TimesMemcpy,
        "Payload written, whole request",
        "bytes",
        "With fetching and completing the chain.",
    ),
    figure(
        "event-idx",
        Rows,
        "EVENT_IDX on and off",
        "EVENT_IDX, chains per burst",
        "Both ways in which a driver says when to notify it.",
    ),
    figure(
        "order",
        Rows,
        "Order of completion",
        "order",
        "Chains held as tokens, and returned as they came or otherwise.",
    ),
    figure(
        "run-time",
        Rows,
        "Format chosen at run time",
        "descriptors per chain",
        "AnyQueue against the queue of one format.",
    ),
    figure(
        "chains",
        Rows,
        "Chains in the device's hands",
        "descriptors per chain",
        "Chains that a burst gives out, against those that Queue::serve walks along.",
    ),
    figure("shared", Rows, "Shared queue", "threads", "A queue behind a lock, used by one thread and by two."),
    figure("stream", Rows, "As a stream", "chains per burst", "Chains through DescChainStream."),
    figure("two-cores", RoundTrips, "Two cores", "", "Driver and device on a core each, with the same driver for all."),
    figure(
        "instructions",
        Rows,
        "Instruction counts",
        "shape",
        "Counted by callgrind, which no other load on the machine disturbs.",
    ),
    figure(
        "instructions-lto",
        Rows,
        "Instruction counts with fat LTO",
        "shape",
        "The same program, built as programs often are that are shipped: with fat LTO, in one codegen unit.",
    ),
    figure("net-to-device", Rows, "Packets to the device", "rings", "64 bytes each, looked at and dropped there."),
    figure("net-to-driver", Rows, "Packets to the driver", "rings", "64 bytes each, made by the device."),
    figure(
        "tap-flow",
        Flows,
        "One TCP flow through a TAP device",
        "direction",
        "Between a Linux guest and the host, with checksums and segmentation left to the other side.",
    ),
    figure(
        "tap-flow-processor-time",
        Flows,
        "Processor time of one TCP flow through a TAP device",
        "direction",
        "As before: how long QEMU, with its guest, and the back end use a processor for each KiB.",
    ),
    figure("blk-null", Rows, "Reads of nothing", "requests at a time", "4 KiB each, of a disk that does nothing."),
    figure(
        "blk-cached",
        Requests,
        "Reads of a file in the page cache",
        "requests at a time",
        "4 KiB each, at random places.",
    ),
    figure(
        "blk-cached-latency",
        Requests,
        "Latency of reads of a file in the page cache",
        "requests at a time",
        "As before.",
    ),
    figure(
        "blk-cached-processor-time",
        Requests,
        "Processor time of reads of a file in the page cache",
        "requests at a time",
        "As before: how long whoever reads the file uses a processor for each request.",
    ),
    figure(
        "blk-direct",
        Requests,
        "Reads of a file past the page cache",
        "requests at a time",
        "4 KiB each, at random places, with O_DIRECT.",
    ),
    figure(
        "blk-direct-latency",
        Requests,
        "Latency of reads of a file past the page cache",
        "requests at a time",
        "As before.",
    ),
    figure(
        "blk-direct-processor-time",
        Requests,
        "Processor time of reads of a file past the page cache",
        "requests at a time",
        "As before: how long whoever reads the file uses a processor for each request.",
    ),
    figure(
        "blk-notifications",
        Rows,
        "Notifications",
        "by whom",
        "For each request, where there are 128 at a time and both sides want to be notified.",
    ),
    figure("blk-idle", Rows, "Without traffic", "waiting", "A driver is connected, and makes no requests any more."),
];

const fn figure(
    name: &'static str,
    shows: Shows,
    title: &'static str,
    axis: &'static str,
    about: &'static str,
) -> Figure<'static> {
    Figure { name, title, axis, about, shows }
}

/// Returns the figures of which `report` has cases: those that are known, and then the others.
pub fn figures(report: &Report) -> Vec<Figure<'_>> {
    let mut names: Vec<_> = report.cases.iter().map(Case::figure).collect();
    names.sort_unstable();
    names.dedup();
    let known = FIGURES.iter().copied().filter(|figure| names.contains(&figure.name));
    let others = names.iter().filter(|name| FIGURES.iter().all(|figure| figure.name != **name));
    known.chain(others.map(|name| Figure { name, title: name, axis: "", about: "", shows: Rows })).collect()
}

impl Figure<'_> {
    /// Returns what a number of this unit is.
    pub fn unit(&self, unit: Unit) -> &'static str {
        match (unit, self.shows) {
            (Unit::Nanoseconds, Cost | Rows) => "ns per chain",
            (Unit::Nanoseconds, TimesMemcpy) => "ns per payload",
            (Unit::Nanoseconds, RoundTrips) => "ns per round trip",
            (Unit::Nanoseconds, Requests) => "ns per request",
            (Unit::Nanoseconds, Flows) => "ns per KiB",
            (Unit::ChainsPerSecond, _) => "chains/s",
            (Unit::Instructions, _) => "instructions per chain",
            (Unit::PacketsPerSecond, _) => "packets/s",
            (Unit::RequestsPerSecond, _) => "requests/s",
            (Unit::BytesPerSecond, _) => "bytes/s",
            (Unit::Notifications, _) => "notifications per request",
            (Unit::ProcessorTime, _) => "ms of a processor per s",
        }
    }

    /// Returns the cases of this figure that were measured: by value, and at each in the order of contenders.
    pub fn cases<'r>(&self, report: &'r Report) -> Vec<&'r Case> {
        let mut cases: Vec<_> = report.cases.iter().filter(|case| case.figure() == self.name).collect();
        cases.sort_by(|one, other| by_value(one.value(), other.value()).then_with(|| by_contender(one, other)));
        cases
    }
}

/// Orders contenders as they are shown.
pub fn by_contender(one: &Case, other: &Case) -> Ordering {
    let key = |case: &Case| (contender::rank(case.contender()), case.contender().to_owned());
    key(one).cmp(&key(other))
}

/// Orders values by number where they are numbers.
pub fn by_value(one: &str, other: &str) -> Ordering {
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => one.total_cmp(&other),
        _ => one.cmp(other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::{case, report};
    use super::*;

    #[test]
    fn cases_are_ordered_by_number_then_contender() {
        let names = [("raw-split", "8"), ("split", "32"), ("packed", "8"), ("split", "8")];
        let report = report(names.map(|(contender, value)| case("burst-1", contender, value, [1.0; 3])));
        let cases = figures(&report)[0].cases(&report);
        let order: Vec<_> = cases.iter().map(|case| (case.contender(), case.value())).collect();
        assert_eq!(order, [("split", "8"), ("packed", "8"), ("raw-split", "8"), ("split", "32")]);
    }

    #[test]
    fn figure_that_is_not_known_comes_last() {
        let names = ["a-new-one", "instructions", "chain-direct"];
        let report = report(names.map(|figure| case(figure, "split", "1", [1.0; 3])));
        let order: Vec<_> = figures(&report).iter().map(|figure| figure.name).collect();
        assert_eq!(order, ["chain-direct", "instructions", "a-new-one"]);
    }
}
