//! The figures of reads of a file, in one table.

use xtask_report::format::{number, rate};
use xtask_report::spread::{Round, Spread};
use xtask_report::{Case, Report};
use xtask_support::markdown;

/// What the table is of: figures, and what they are called in it.
const READS: [(&str, &str); 2] = [("blk-cached", "cached"), ("blk-direct", "O_DIRECT")];

const HEAD: [&str; 11] = [
    "reads, depth",
    "by",
    "requests/s",
    "to QEMU",
    "to bound",
    "p50, µs",
    "to QEMU",
    "p99, µs",
    "to QEMU",
    "processor, µs",
    "to QEMU",
];

/// How many of the columns are texts.
const TEXTS: usize = 2;

/// The yardsticks: `qemu-storage-daemon` with io_uring, and the reads without virtio.
const PEER: &str = "qemu-storage-daemon io_uring";
const BOUND: &str = "bound";

/// Returns the rates, latencies and processor times of all who have read a file, or nothing if nobody has.
///
/// Each is the median of the rounds, with the least and the greatest. A ratio is the median of the rounds' ratios.
pub(crate) fn table_of_reads(report: &Report) -> String {
    let rows: Vec<_> = READS.iter().flat_map(|(figure, reads)| rows(report, figure, reads)).collect();
    if rows.is_empty() { String::new() } else { markdown(&HEAD, TEXTS, rows) + "\n" }
}

fn rows(report: &Report, figure: &str, reads: &str) -> Vec<Vec<String>> {
    let cases = report.cases.iter().filter(|case| case.figure() == figure && case.contender() != BOUND);
    cases.map(|case| row(report, case, reads)).collect()
}

/// Returns the row of those whose rate `case` is.
fn row(report: &Report, case: &Case, reads: &str) -> Vec<String> {
    let column = |what: &str, of: fn(&Round) -> Option<f64>, show: fn(f64) -> String| {
        let figure = format!("{}{what}", case.figure());
        let values = |contender| {
            let case = report.case(&figure, contender, case.value())?;
            case.rounds.iter().map(of).collect::<Option<Vec<_>>>()
        };
        let (ours, peer) = (values(case.contender()).unwrap_or_default(), values(PEER).unwrap_or_default());
        [shown(&ours, show), times(&ours, &peer)]
    };
    let bound = report.counterpart(case, BOUND).map(|bound| times(&all(case), &all(bound)));
    let [requests, requests_to_peer] = column("", |round| Some(round.median), rate);
    let p50 = column("-latency", |round| Some(round.median), microseconds);
    let p99 = column("-latency", |round| round.p99, microseconds);
    let processor = column("-processor-time", |round| Some(round.median), microseconds);
    let names = [format!("{reads}, {}", case.value()), case.contender().to_owned()];
    let rates = [requests, requests_to_peer, bound.unwrap_or_default()];
    names.into_iter().chain(rates).chain([p50, p99, processor].into_iter().flatten()).collect()
}

fn all(case: &Case) -> Vec<f64> {
    case.values().collect()
}

/// Returns the median, and between what the values are.
fn shown(values: &[f64], show: fn(f64) -> String) -> String {
    Spread::range(values.iter().copied()).map_or(String::new(), |Spread { median, low, high }| {
        format!("{} ({} to {})", show(median), show(low), show(high))
    })
}

/// Returns how many times the `others` the values are.
fn times(values: &[f64], others: &[f64]) -> String {
    let ratios = values.iter().zip(others).map(|(value, other)| value / other);
    Spread::range(ratios).map_or(String::new(), |ratio| format!("{} x", number(ratio.median)))
}

fn microseconds(nanoseconds: f64) -> String {
    number(nanoseconds / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask_report::spread::Round;
    use xtask_report::synthetic::{case, report};

    #[test]
    fn table_has_ratios_within_rounds() {
        let latency = |contender, p99| {
            let mut case = case("blk-direct-latency", contender, "1", [2000.0, 3000.0]);
            case.rounds = case.rounds.iter().map(|round| Round { p99: Some(p99), ..*round }).collect();
            case
        };
        let report = report([
            case("blk-direct", "pread", "1", [1000.0, 4000.0]),
            case("blk-direct", PEER, "1", [500.0, 1000.0]),
            case("blk-direct", BOUND, "1", [2000.0, 4000.0]),
            latency("pread", 5000.0),
            latency(PEER, 20000.0),
            case("blk-direct-processor-time", "pread", "1", [100.0, 100.0]),
        ]);
        let text = table_of_reads(&report);
        let line = text.lines().find(|line| line.contains("pread")).unwrap();
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let rates = ["O_DIRECT, 1", "pread", "2.50 k (1.00 k to 4.00 k)", "3.00 x", "0.75 x"];
        assert_eq!(cells[1..6], rates);
        assert_eq!(cells[6..10], ["2.50 (2.00 to 3.00)", "1.00 x", "5.00 (5.00 to 5.00)", "0.25 x"]);
        assert_eq!(cells[10..12], ["0.10 (0.10 to 0.10)", ""]);
        assert!(!text.contains("| bound "), "{text}");
    }

    #[test]
    fn report_without_reads_has_no_table() {
        assert_eq!(table_of_reads(&report([])), "");
    }
}
