//! The figures of flows, in one table.

use xtask_report::format::{range, value};
use xtask_report::spread::Spread;
use xtask_report::{Case, Report};
use xtask_support::markdown;

use super::bench::{FIGURE, TIME_FIGURE};

const HEAD: [&str; 4] = ["one TCP flow, TAP", "by", "bytes/s", "processor, ns per KiB"];

/// How many of the columns are texts.
const TEXTS: usize = 2;

/// Returns the rates and processor times of all flows, or nothing if there were none.
///
/// Each is the median of the rounds, with the least and the greatest. Those in one direction are together.
pub(crate) fn table_of_flows(report: &Report) -> String {
    let mut flows: Vec<_> = report.cases.iter().filter(|case| case.figure() == FIGURE).collect();
    flows.sort_by(|one, other| one.value().cmp(other.value()));
    let rows: Vec<_> = flows.into_iter().map(|case| row(report, case)).collect();
    if rows.is_empty() { String::new() } else { markdown(&HEAD, TEXTS, rows) + "\n" }
}

/// Returns the row of those whose rate `case` is.
fn row(report: &Report, case: &Case) -> Vec<String> {
    let processor = report.case(TIME_FIGURE, case.contender(), case.value());
    let names = [case.value(), case.contender()].map(str::to_owned);
    names.into_iter().chain([shown(case), processor.map_or(String::new(), shown)]).collect()
}

/// Returns the median, and between what the values are.
fn shown(case: &Case) -> String {
    Spread::range(case.values())
        .map_or(String::new(), |spread| format!("{} ({})", value(spread.median, case.unit), range(&spread, case.unit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask_report::Unit;
    use xtask_report::synthetic::{case, report};

    #[test]
    fn table_has_rate_and_processor_time_of_each_flow() {
        let mut flow = case(FIGURE, "vhost-user-net TAP", "to the guest", [3e8, 1e8, 2e8]);
        flow.unit = Unit::BytesPerSecond;
        let used = case(TIME_FIGURE, "vhost-user-net TAP", "to the guest", [2000.0, 1000.0, 4000.0]);
        let text = table_of_flows(&report([flow, used]));
        let line = text.lines().find(|line| line.contains("to the guest")).unwrap();
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let expected = ["to the guest", "vhost-user-net TAP", "200 M (100 M to 300 M)", "2000 (1000 to 4000)"];
        assert_eq!(cells[1..5], expected);
    }

    #[test]
    fn flows_in_one_direction_are_together() {
        let names = [("ours", "from"), ("ours", "to"), ("theirs", "from"), ("theirs", "to")];
        let text = table_of_flows(&report(names.map(|(by, direction)| case(FIGURE, by, direction, [1.0]))));
        let cells = text.lines().skip(2).map(|line| line.split('|').map(str::trim).skip(1).take(2).collect());
        let rows: Vec<Vec<_>> = cells.filter(|row: &Vec<_>| !row.is_empty()).collect();
        assert_eq!(rows, [["from", "ours"], ["from", "theirs"], ["to", "ours"], ["to", "theirs"]]);
    }

    #[test]
    fn report_without_flows_has_no_table() {
        assert_eq!(table_of_flows(&report([])), "");
    }
}
