//! `cargo xtask compare`: what a change did to the speed, told apart from what the machine did.

mod change;
mod factor;
mod page;

use std::fs;
use std::process::ExitCode;

use anyhow::Result;
use change::{Change, Comparison, Verdict};
use clap::Parser;
use xtask_report::about::About;
use xtask_report::format::percent;
use xtask_report::spread::Spread;
use xtask_report::{Name, Report};
use xtask_support::markdown;

/// Compare two saved reports, and fail if something became slower
#[derive(Parser)]
#[command(bin_name = "cargo xtask compare")]
struct Args {
    /// The report from before
    base: Name,
    /// The report from after
    new: Name,
    /// By how much the cost has to grow to count (for instruction counts, 2 at most)
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0, value_parser = threshold)]
    threshold: f64,
}

fn threshold(text: &str) -> Result<f64, String> {
    let percent = text.parse().ok().filter(|percent| (0.0..=1000.0).contains(percent));
    percent.ok_or_else(|| "not between 0 and 1000 percent".to_owned())
}

fn main() -> ExitCode {
    xtask_support::main(run)
}

/// Compares, and fails if something became slower.
fn run(args: &Args) -> Result<ExitCode> {
    let (base, new) = (Report::load(&args.base)?, Report::load(&args.new)?);
    let comparison = Comparison::new(&base, &new, args.threshold);
    let warning = differences(&base.about, &new.about);
    if let Some(warning) = &warning {
        eprintln!("warning: {warning}");
    }
    print!("{}", summary(&comparison));
    let page = args.new.directory()?.join(format!("compare-{}.html", args.base));
    let title = format!("{} compared with {}", args.new, args.base);
    fs::write(&page, page::page(&title, warning.as_deref(), &comparison, args.threshold)?)?;
    println!("all of it is in {}", page.display());
    let slower = comparison.changes.iter().any(|change| change.verdict == Verdict::Slower);
    Ok(if slower { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Says what else than the code may be the reason for a difference.
fn differences(base: &About, new: &About) -> Option<String> {
    let pairs = [
        (base.machine != new.machine, "the machine"),
        (base.toolchain != new.toolchain, "the toolchain"),
        (base.peers != new.peers, "the versions of peers"),
        (base.extent != new.extent, "how much was measured"),
        ((base.load - new.load).abs() > 1.0, "how busy the machine was"),
    ];
    let different: Vec<_> = pairs.iter().filter(|(differs, _)| *differs).map(|(_, what)| *what).collect();
    (!different.is_empty()).then(|| format!("the reports differ in {}", different.join(", ")))
}

/// How many cases are named that one report lacks. After a run with a filter that may be most of them.
const NAMED: usize = 10;

/// Returns a table of what changed, what is missing on either side, and how many there are of each kind.
fn summary(comparison: &Comparison<'_>) -> String {
    let Comparison { changes, only_base, only_new, .. } = comparison;
    let shown: Vec<_> = changes.iter().filter(|change| change.verdict.is_shown()).map(Change::row).collect();
    let mut text = if shown.is_empty() { String::new() } else { markdown(&change::HEAD, change::TEXTS, shown) + "\n" };
    for (side, cases) in [("base", only_base), ("new", only_new)] {
        for id in cases.iter().take(NAMED) {
            text += &format!("only in {side}: {id}\n");
        }
        if cases.len() > NAMED {
            text += &format!("only in {side}: {} more\n", cases.len() - NAMED);
        }
    }
    let count = |verdict| changes.iter().filter(|change| change.verdict == verdict).count();
    let kinds = [Verdict::Slower, Verdict::Faster, Verdict::Noise, Verdict::Steady];
    let counts = kinds.map(|verdict| format!("{} {}", count(verdict), verdict.describe()));
    text += &format!("{}\n", counts.join(", "));
    let Spread { median, low, high } = comparison.pace.spread;
    let [median, low, high] = [median, low, high].map(percent);
    text += &format!("yardsticks changed by {median} (from quartile to quartile, by {low} to {high})\n");
    let swing = percent(comparison.pace.swing);
    text +=
        &format!("from one round to another they vary by {swing}: no time whose best sample changed by less counts\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask_report::synthetic::{case, report};

    #[test]
    fn differences_are_named_in_one_line() {
        let base = report([]).about;
        assert_eq!(differences(&base, &base), None);
        let mut new = base.clone();
        new.toolchain.rustc += "1";
        new.extent.rounds += 1;
        let expected = "the reports differ in the toolchain, how much was measured";
        assert_eq!(differences(&base, &new).as_deref(), Some(expected));
    }

    #[test]
    fn summary_names_missing_cases() {
        let base = report([case("order", "split", "in-order", [1.0; 3]), case("order", "split", "old", [1.0; 3])]);
        let new = report([case("order", "split", "in-order", [1.0; 3]), case("order", "packed", "in-order", [1.0; 3])]);
        let text = summary(&Comparison::new(&base, &new, 10.0));
        assert!(text.contains("only in base: order/split/old\nonly in new: order/packed/in-order\n"), "{text}");
        assert!(text.contains("0 slower, 0 faster, 0 noise, 1 steady"), "{text}");
    }

    #[test]
    fn summary_of_a_report_with_a_filter_stays_short() {
        let cases = (0..100).map(|value| case("queue-size", "split", &value.to_string(), [1.0; 3]));
        let (base, new) = (report(cases), report([]));
        let text = summary(&Comparison::new(&base, &new, 10.0));
        assert!(text.contains("only in base: queue-size/split/9\nonly in base: 90 more\n"), "{text}");
    }

    #[test]
    fn threshold_is_a_percentage() {
        assert_eq!(threshold("2.5"), Ok(2.5));
        for text in ["-1", "NaN", "inf", "x", ""] {
            assert!(threshold(text).is_err(), "{text}");
        }
    }
}
