//! All changes as a page of charts.

use anyhow::Result;
use maud::{Markup, html};
use plotters::style::RGBColor;

use super::change::{Change, Comparison, HEAD, TEXTS, Verdict};
use xtask_report::chart::{Bar, Row, Rows};
use xtask_report::figure::Figure;
use xtask_report::format::{percent, short};
use xtask_report::frame::{chart, page as frame, table};
use xtask_report::spread::Spread;

/// Returns the whole page.
pub(super) fn page(title: &str, warning: Option<&str>, comparison: &Comparison<'_>, threshold: f64) -> Result<String> {
    let mut sections = Vec::new();
    for figure in &comparison.figures {
        let of_figure = |change: &&Change<'_>| change.new.figure() == figure.name;
        let changes: Vec<_> = comparison.changes.iter().filter(of_figure).collect();
        if !changes.is_empty() {
            sections.push(section(figure, &changes)?);
        }
    }
    let body = html! {
        p {
            "The change of the cost of each case: of its ratio to a yardstick in the same round where there is one, "
            "else of itself at the pace of all yardsticks. Red is slower and green is faster, by more than "
            (threshold) " % (instruction counts: 2 %) from quartile to quartile and in the best samples, and in those "
            "by more than the machine varies. A yellow outline is as much in the median, but not in all of these, "
            "which is noise; a grey one is a yardstick. The whisker reaches as far as the quartiles allow."
        }
        @if let Some(warning) = warning { p.warning { (warning) } }
        @for (side, cases) in [("before", &comparison.only_base), ("after", &comparison.only_new)] {
            @if !cases.is_empty() {
                p { "Measured only " (side) ": " @for id in cases { code { (id) } " " } }
            }
        }
        div.columns { @for section in &sections { (section) } }
    };
    Ok(frame(title, &body))
}

fn section(figure: &Figure<'_>, changes: &[&Change<'_>]) -> Result<Markup> {
    let rows = changes.iter().map(|change| row(change)).collect();
    let svg = Rows { x: "change of the cost, %", groups: figure.axis, rows, format: short }.svg()?;
    let cells: Vec<_> = changes.iter().map(|change| change.row()).collect();
    Ok(html! {
        section {
            h3 { (figure.title) }
            (chart(svg))
            details {
                summary { "Figures" }
                (table(&HEAD, TEXTS, &cells))
            }
        }
    })
}

fn row(change: &Change<'_>) -> Row {
    let in_percent = |factor| (factor - 1.0) * 100.0;
    let Spread { median, low, high } = change.factor.spread;
    Row {
        group: change.new.value().to_owned(),
        label: change.new.contender().to_owned(),
        value: Spread { median: in_percent(median), low: in_percent(low), high: in_percent(high) },
        bar: bar(change.verdict),
        text: percent(median),
    }
}

fn bar(verdict: Verdict) -> Bar {
    match verdict {
        Verdict::Slower => Bar::Filled(RGBColor(200, 40, 40)),
        Verdict::Faster => Bar::Filled(RGBColor(0, 158, 115)),
        Verdict::Noise => Bar::Outlined(RGBColor(222, 150, 10)),
        Verdict::Steady => Bar::Filled(RGBColor(0, 114, 178)),
        Verdict::Yardstick => Bar::Outlined(RGBColor(128, 128, 128)),
    }
}
