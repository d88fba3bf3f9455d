//! The figures as tables, for the terminal and for report.md.

use crate::about::list;
use crate::case::Case;
use crate::contender::peer;
use crate::figure::{Figure, Shows, figures};
use crate::format::{number, range, rate, value};
use crate::kind::Kind;
use crate::report::Report;
use crate::spread::Spread;
use crate::target;
use crate::unit::Unit;
use xtask_support::markdown;

/// A table, of which the first columns are texts and the rest numbers.
pub(crate) struct Table<'r> {
    pub(crate) head: Vec<&'r str>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// How many columns are texts.
pub(crate) const TEXTS: usize = 2;

/// Returns a report.md.
pub(crate) fn document(report: &Report, kind: &Kind) -> String {
    format!("# Benchmark report\n\n{}{}", list(&report.about.facts()), of_report(report, kind))
}

/// Returns all figures, and the targets.
pub(crate) fn of_report(report: &Report, kind: &Kind) -> String {
    let mut text = String::new();
    for figure in figures(report) {
        for cases in by_unit(figure.cases(report)) {
            let Table { head, rows } = of_cases(report, &figure, &cases);
            text += &format!("\n## {}\n\n{}\n\n{}", figure.title, figure.about, markdown(&head, TEXTS, rows));
        }
    }
    text + "\n## Targets\n\n" + &target::table(kind.targets, report)
}

/// Splits cases so that all in one table have the same unit.
pub(crate) fn by_unit(cases: Vec<&Case>) -> Vec<Vec<&Case>> {
    let of = |unit| cases.iter().filter(|case| case.unit == unit).copied().collect();
    Unit::ALL.map(of).into_iter().filter(|cases: &Vec<_>| !cases.is_empty()).collect()
}

/// Returns the table of cases that have the same unit, without columns that would be empty.
pub(crate) fn of_cases<'r>(report: &Report, figure: &Figure<'r>, cases: &[&Case]) -> Table<'r> {
    let unit = cases.first().map_or(Unit::Nanoseconds, |case| case.unit);
    let payload = figure.shows == Shows::TimesMemcpy;
    let head = [
        figure.axis,
        "contender",
        figure.unit(unit),
        "range",
        if payload { "GB/s" } else { "chains/s" },
        "times limit",
        "times peer",
        "virtio-queue takes",
        "99 % below",
        "instructions",
    ];
    let rows: Vec<_> = cases.iter().filter_map(|case| row(report, case, figure.shows)).collect();
    let filled: Vec<_> = (0..head.len())
        .filter(|column| rows.iter().any(|row| row.get(*column).is_some_and(|cell| !cell.is_empty())))
        .collect();
    let pick = |row: &[String]| filled.iter().filter_map(|column| row.get(*column).cloned()).collect();
    Table {
        head: filled.iter().filter_map(|column| head.get(*column).copied()).collect(),
        rows: rows.iter().map(|row| pick(row)).collect(),
    }
}

fn row(report: &Report, case: &Case, shows: Shows) -> Option<Vec<String>> {
    let spread = case.spread()?;
    let times = |ratio: Option<Spread>| ratio.map_or(String::new(), |ratio| format!("{} x", number(ratio.median)));
    let per_second = match (case.unit, shows, case.value().parse::<f64>()) {
        (Unit::Nanoseconds, Shows::TimesMemcpy, Ok(bytes)) => number(bytes / spread.median),
        (Unit::Nanoseconds, Shows::Cost | Shows::Rows, _) => rate(1e9 / spread.median),
        _ => String::new(),
    };
    let peer = report.counterpart(case, peer(case.contender()));
    let (rate_of_peer, time_of_peer) = if case.unit.is_rate() { (peer, None) } else { (None, peer) };
    let p99 = Spread::middle(case.rounds.iter().filter_map(|round| round.p99));
    Some(vec![
        case.value().to_owned(),
        case.contender().to_owned(),
        value(spread.median, case.unit),
        range(&spread, case.unit),
        per_second,
        times(report.limit(case).and_then(|limit| case.relative_to(limit))),
        times(rate_of_peer.and_then(|peer| case.relative_to(peer))),
        times(time_of_peer.and_then(|peer| peer.relative_to(case))),
        p99.map_or(String::new(), |p99| number(p99.median)),
        instructions(report, case),
    ])
}

/// Returns how many instructions a chain of this case takes, where that was counted.
fn instructions(report: &Report, case: &Case) -> String {
    let (figure, value) = (case.figure(), case.value());
    let shape = match figure {
        "chain-direct" | "run-time" | "chains" => format!("direct-{value}-burst-32"),
        "chain-indirect" => format!("indirect-{value}-burst-32"),
        "burst-1" => format!("direct-1-burst-{value}"),
        "burst-8" => format!("direct-8-burst-{value}"),
        "order" => format!("tokens-{value}"),
        "shared" | "stream" | "payload-read" | "payload-write" => format!("{figure}-{value}"),
        _ => return String::new(),
    };
    let counted = report.case("instructions", case.contender(), &shape).and_then(Case::spread);
    counted.map_or(String::new(), |counted| number(counted.median))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::PEER;
    use crate::synthetic::{case, instructions, report};

    const KIND: Kind = Kind { title: "", legend: "", targets: &[], more: |_| String::new(), docs: "" };

    #[test]
    fn table_has_ratios_rates_and_counts() {
        let report = report([
            case("chain-direct", "split", "8", [20.0, 25.0, 50.0]),
            case("chain-direct", "raw-split", "8", [10.0, 10.0, 20.0]),
            case("chain-direct", PEER, "8", [200.0, 200.0, 500.0]),
            instructions("split", "direct-8-burst-32", 228.0),
        ]);
        let text = of_report(&report, &KIND);
        let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap().split('|').map(str::trim);
        let cells: Vec<_> = line("| 8                     | split").collect();
        assert_eq!(cells[3..9], ["25.0", "22.5 to 37.5", "40.0 M", "2.50 x", "10.0 x", "228"]);
        let cells: Vec<_> = line("| 8                     | raw-split").collect();
        assert_eq!(cells[6..9], ["", "20.0 x", ""]);
        assert!(!text.contains("99 %"), "a column of nothing");
    }

    #[test]
    fn table_of_rates_has_the_peer_as_unit() {
        let rates = |contender, rates| {
            let mut case = case("net-to-device", contender, "split", rates);
            case.unit = Unit::PacketsPerSecond;
            case
        };
        let report = report([rates("net_vhost", [1e6; 3]), rates("vhost-user-net", [2e6; 3])]);
        let text = of_report(&report, &KIND);
        let cells: Vec<_> = text.lines().find(|line| line.contains("vhost-user-net")).unwrap().split('|').collect();
        assert_eq!([cells[3], cells[4]].map(str::trim), ["2.00 M", "2.00 x"], "{text}");
    }
}
