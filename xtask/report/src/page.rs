//! The report as a page of charts.

use anyhow::Result;
use maud::{Markup, html};

use crate::case::Case;
use crate::chart::{Bar, Lines, Point, Row, Rows, Series};
use crate::contender::{Line, Style, rank, style_of};
use crate::figure::{Figure, Shows, figures};
use crate::format::{short, short_rate, value};
use crate::frame::{chart, facts, page as frame, table};
use crate::kind::Kind;
use crate::report::Report;
use crate::spread::Spread;
use crate::unit::Unit;
use crate::{tables, target};

/// Returns the whole page.
pub(crate) fn page(report: &Report, kind: &Kind) -> Result<String> {
    let mut sections = Vec::new();
    for figure in figures(report) {
        for cases in tables::by_unit(figure.cases(report)) {
            sections.push(section(report, &figure, &cases)?);
        }
    }
    let body = html! {
        (facts(&report.about.facts()))
        p { (kind.legend) }
        div.columns { @for section in &sections { (section) } }
        h2 { "Targets" }
        (table(&target::HEAD, target::TEXTS, &target::rows(kind.targets, report)))
    };
    Ok(frame(kind.title, &body))
}

/// Returns a figure, of cases that all have the same unit.
fn section(report: &Report, figure: &Figure<'_>, cases: &[&Case]) -> Result<Markup> {
    let tables::Table { head, rows } = tables::of_cases(report, figure, cases);
    let svg = match lines(report, figure, cases) {
        Some(lines) => lines.svg()?,
        None => bars(figure, cases).svg()?,
    };
    Ok(html! {
        section {
            h3 { (figure.title) }
            p { (figure.about) }
            (chart(svg))
            details {
                summary { "Figures" }
                (table(&head, tables::TEXTS, &rows))
            }
        }
    })
}

/// Returns a chart of lines, if the figure is for one and there is more than one value to draw a line through.
fn lines<'r>(report: &'r Report, figure: &Figure<'r>, cases: &[&'r Case]) -> Option<Lines<'r>> {
    let mut contenders: Vec<_> = cases.iter().map(|case| case.contender()).collect();
    contenders.sort_by_key(|contender| (rank(contender), *contender));
    contenders.dedup();
    let y = match figure.shows {
        Shows::Cost => figure.unit(Unit::Nanoseconds),
        Shows::TimesMemcpy => "time, in times of memcpy",
        Shows::Rows | Shows::RoundTrips | Shows::Requests | Shows::Flows => return None,
    };
    let point = |case: &Case| {
        let y = match figure.shows {
            Shows::TimesMemcpy => case.relative_to(report.counterpart(case, "memcpy")?),
            _ => case.spread(),
        };
        Some(Point { x: case.value().parse().ok()?, y: y? })
    };
    let series: Vec<_> = contenders
        .into_iter()
        .map(|name| {
            let own = cases.iter().filter(|case| case.contender() == name);
            Series { name, style: style_of(name), points: own.filter_map(|case| point(case)).collect() }
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    let long = series.iter().any(|series| series.points.len() > 1);
    long.then_some(Lines { x: figure.axis, y, series })
}

/// Returns a chart with a bar for each case.
fn bars<'r>(figure: &Figure<'r>, cases: &[&Case]) -> Rows<'r> {
    let unit = cases.first().map_or(Unit::Nanoseconds, |case| case.unit);
    let row = |case: &Case, spread: Spread| Row {
        group: case.value().to_owned(),
        label: case.contender().to_owned(),
        value: spread,
        bar: bar(&style_of(case.contender())),
        text: value(spread.median, unit),
    };
    let rows = cases.iter().filter_map(|case| Some(row(case, case.spread()?))).collect();
    let format = if unit.is_rate() { short_rate } else { short };
    Rows { x: figure.unit(unit), groups: figure.axis, rows, format }
}

fn bar(style: &Style) -> Bar {
    match style.line {
        Line::Solid => Bar::Filled(style.colour),
        Line::Dashed => Bar::Outlined(style.colour),
    }
}
