//! How fast the crates are to be, and whether they are.

use crate::report::Report;
use crate::report::format::number;
use crate::report::spread::Spread;
use crate::report::table::markdown;

use Bound::{AtLeast, AtMost, Shown};

/// A ratio of two cases of one report, and what it is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    what: &'static str,
    ratio: &'static str,
    /// The names of the cases.
    of: &'static str,
    to: &'static str,
    bound: Bound,
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// Not a target, but good to know beside one.
    Shown,
}

const ONE_BY_ONE: &str = "1 descriptor, one by one with notification test";
const ONE: &str = "1 descriptor, bursts of 32";
const EIGHT: &str = "8 descriptors, bursts of 32";
const INDIRECT: &str = "8 indirect, bursts of 32";
const READ: &str = "4 KiB payload read";
const WRITE: &str = "4 KiB payload written";
const SIZE: &str = "queue size 32768 against 256";
const REGIONS: &str = "512 memory regions against 1";
const TWO_CORES: &str = "two cores, chains/s";

const TARGETS: &[Target] = &[
    target(ONE_BY_ONE, "split to raw loop", "burst-1/split/1", "burst-1/raw-split/1", AtMost(3.0)),
    target(ONE_BY_ONE, "virtio-queue to split", "burst-1/virtio-queue/1", "burst-1/split/1", AtLeast(5.0)),
    target(ONE_BY_ONE, "packed to split", "burst-1/packed/1", "burst-1/split/1", AtMost(1.0)),
    target(ONE_BY_ONE, "packed to raw loop", "burst-1/packed/1", "burst-1/raw-packed/1", Shown),
    target(ONE, "split to raw loop", "chain-direct/split/1", "chain-direct/raw-split/1", AtMost(2.5)),
    target(ONE, "virtio-queue to split", "chain-direct/virtio-queue/1", "chain-direct/split/1", AtLeast(8.0)),
    target(ONE, "packed to split", "chain-direct/packed/1", "chain-direct/split/1", AtMost(1.0)),
    target(ONE, "packed to raw loop", "chain-direct/packed/1", "chain-direct/raw-packed/1", Shown),
    target(EIGHT, "split to raw loop", "chain-direct/split/8", "chain-direct/raw-split/8", AtMost(2.0)),
    target(EIGHT, "virtio-queue to split", "chain-direct/virtio-queue/8", "chain-direct/split/8", AtLeast(6.0)),
    target(EIGHT, "packed to split", "chain-direct/packed/8", "chain-direct/split/8", AtMost(1.0)),
    target(EIGHT, "packed to raw loop", "chain-direct/packed/8", "chain-direct/raw-packed/8", Shown),
    target(INDIRECT, "split to 8 direct", "chain-indirect/split/8", "chain-direct/split/8", AtMost(1.3)),
    target(INDIRECT, "virtio-queue to split", "chain-indirect/virtio-queue/8", "chain-indirect/split/8", AtLeast(6.0)),
    target(INDIRECT, "packed to split", "chain-indirect/packed/8", "chain-indirect/split/8", AtMost(1.0)),
    target(INDIRECT, "packed to raw loop", "chain-indirect/packed/8", "chain-indirect/raw-packed/8", Shown),
    target(READ, "to memcpy", "payload-read/chain/4096", "payload-read/memcpy/4096", AtMost(1.1)),
    target(READ, "virtio-queue to ours", "payload-read/virtio-queue/4096", "payload-read/chain/4096", AtLeast(1.5)),
    target(WRITE, "to memcpy", "payload-write/chain/4096", "payload-write/memcpy/4096", AtMost(1.1)),
    target(WRITE, "virtio-queue to ours", "payload-write/virtio-queue/4096", "payload-write/chain/4096", AtLeast(1.5)),
    target(SIZE, "split", "queue-size/split/32768", "queue-size/split/256", AtMost(1.5)),
    target(SIZE, "packed", "queue-size/packed/32768", "queue-size/packed/256", AtMost(1.5)),
    target(REGIONS, "split", "regions/split/512", "regions/split/1", AtMost(1.5)),
    target(REGIONS, "packed", "regions/packed/512", "regions/packed/1", AtMost(1.5)),
    target(
        TWO_CORES,
        "split to raw loop",
        "two-cores/split/throughput",
        "two-cores/raw-split/throughput",
        AtLeast(0.85),
    ),
    target(
        TWO_CORES,
        "packed to raw loop",
        "two-cores/packed/throughput",
        "two-cores/raw-packed/throughput",
        AtLeast(0.85),
    ),
];

const fn target(what: &'static str, ratio: &'static str, of: &'static str, to: &'static str, bound: Bound) -> Target {
    Target { what, ratio, of, to, bound }
}

/// What the columns of [`rows`] are.
pub(super) const HEAD: [&str; 6] = ["shape", "ratio", "verdict", "target", "measured", "rounds"];

/// How many of the columns are texts.
pub(super) const TEXTS: usize = 3;

/// Returns the table of all targets, in Markdown.
pub(super) fn table(report: &Report) -> String {
    markdown(&HEAD, TEXTS, rows(report))
}

/// Returns the table of all targets.
pub(super) fn rows(report: &Report) -> Vec<Vec<String>> {
    TARGETS.iter().map(|target| target.row(report)).collect()
}

impl Target {
    fn row(&self, report: &Report) -> Vec<String> {
        let [measured, range, verdict] = match self.measure(report) {
            Some(Spread { median, low, high }) => [
                format!("{} x", number(median)),
                format!("{} to {}", number(low), number(high)),
                self.bound.verdict(&Spread { median, low, high }),
            ],
            None => [String::new(), String::new(), "not measured".to_owned()],
        };
        vec![self.what.to_owned(), self.ratio.to_owned(), verdict, self.bound.describe(), measured, range]
    }

    fn measure(&self, report: &Report) -> Option<Spread> {
        let case = |name: &str| report.cases.iter().find(|case| case.id.to_string() == name);
        case(self.of)?.relative_to(case(self.to)?)
    }
}

impl Bound {
    fn describe(self) -> String {
        match self {
            AtMost(bound) => format!("at most {bound} x"),
            AtLeast(bound) => format!("at least {bound} x"),
            Shown => String::new(),
        }
    }

    /// Returns whether the median is within the bound, and by how much it is not.
    fn verdict(self, measured: &Spread) -> String {
        let (bound, excess) = match self {
            AtMost(bound) => (bound, measured.median / bound - 1.0),
            AtLeast(bound) => (bound, 1.0 - measured.median / bound),
            Shown => return String::new(),
        };
        if excess <= 0.0 {
            return "met".to_owned();
        }
        let noise = if measured.contains(bound) { ", within the rounds" } else { "" };
        format!("missed by {:.1} %{noise}", excess * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic::{case, report};

    #[track_caller]
    fn check(bound: Bound, measured: [f64; 3], expected: &str) {
        let [low, median, high] = measured;
        assert_eq!(bound.verdict(&Spread { median, low, high }), expected);
    }

    #[test]
    fn verdict_says_by_how_much_a_target_is_missed() {
        check(AtMost(2.0), [1.9, 2.0, 2.5], "met");
        check(AtMost(2.0), [2.1, 2.5, 2.6], "missed by 25.0 %");
        check(AtMost(1.0), [0.99, 1.004, 1.01], "missed by 0.4 %, within the rounds");
        check(AtLeast(8.0), [6.0, 9.0, 9.0], "met");
        check(AtLeast(8.0), [5.0, 6.0, 7.0], "missed by 25.0 %");
        check(Shown, [1.0, 2.0, 3.0], "");
    }

    #[test]
    fn row_compares_within_rounds() {
        let report = report([
            case("burst-1", "split", "1", [10.0, 30.0, 20.0]),
            case("burst-1", "raw-split", "1", [5.0, 10.0, 10.0]),
        ]);
        let expected = [ONE_BY_ONE, "split to raw loop", "met", "at most 3 x", "2.00 x", "2.00 to 3.00"];
        assert_eq!(TARGETS[0].row(&report), expected);
    }

    #[test]
    fn cases_that_are_missing_were_not_measured() {
        let report = report([case("burst-1", "split", "1", [10.0, 30.0, 20.0])]);
        assert!(rows(&report).iter().all(|row| row[2] == "not measured" && row[4].is_empty()));
    }
}
