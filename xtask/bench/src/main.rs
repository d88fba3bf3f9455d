//! `cargo xtask bench`: how fast the crates are, next to what cannot be beaten and to what else there is.

#![expect(clippy::std_instead_of_alloc, clippy::std_instead_of_core, reason = "it runs where there is a terminal")]

mod cost;
mod criterion;
mod filter;
mod instructions;
mod measurement;
mod programs;
mod rounds;
mod targets;
mod two_cores;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser;
use cost::Cost;
use filter::Filter;
use programs::Programs;
use xtask_report::about::Extent;
use xtask_report::machine::locked_version;
use xtask_report::{Beginning, Kind, Name, Report};

/// What all reports of this verb have in common.
const KIND: Kind = Kind {
    title: "virtio devices in Rust: benchmark report",
    legend: "Circles are split virtqueues and squares packed ones. Dashed with open marks is the limit: a loop without \
             any check, or a plain copy. A mark is the median of seven rounds; the whisker reaches from quartile to \
             quartile.",
    targets: targets::TARGETS,
    more: |_| String::new(),
    docs: "cargo xtask bench --docs",
};

/// What else is measured, and measured with.
const PEERS: [&str; 3] = ["criterion", "virtio-queue", "vm-memory"];

/// Measure how fast the crates are, and write a report with charts
#[derive(Parser)]
#[command(bin_name = "cargo xtask bench")]
struct Args {
    /// Measure fewer values for a shorter time, in less than three minutes once everything is built
    #[arg(long)]
    quick: bool,
    /// What to call the report, which is written to target/bench-reports
    #[arg(long, value_name = "NAME", default_value = "latest")]
    save: Name,
    /// Measure nothing, but write the figures of this report into docs/benchmarks.md and README.md
    #[arg(long, value_name = "NAME", exclusive = true)]
    docs: Option<Name>,
    /// Measure only cases whose name, FIGURE/CONTENDER/VALUE, this regular expression matches
    filter: Option<Filter>,
}

fn main() -> ExitCode {
    xtask_support::main(run)
}

/// Measures and writes the report, or publishes one.
fn run(args: &Args) -> Result<ExitCode> {
    match &args.docs {
        Some(name) => publish(&Report::load(name)?)?,
        None => measure(args)?.save(&KIND, &args.save)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a report into the documentation: all of it, or nothing if something is missing.
fn publish(report: &Report) -> Result<()> {
    let cost = Cost::of(report)?;
    report.publish(&KIND)?;
    cost.publish(&KIND)
}

fn measure(args: &Args) -> Result<Report> {
    let filter = args.filter.clone().unwrap_or_default();
    let beginning = Beginning::now()?;
    let programs = Programs::build(args.quick)?;
    let build = beginning.elapsed();
    let cases = rounds::measure(&programs, &filter)?;
    ensure!(!cases.is_empty(), "no case matches");
    let extent = Extent { quick: args.quick, filter: filter.pattern().map(str::to_owned), rounds: rounds::ROUNDS };
    let peers = PEERS.iter().filter_map(|name| Some(((*name).to_owned(), locked_version(name)?))).collect();
    Ok(Report { about: beginning.about(build, extent, "bench", peers)?, cases })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_has_a_place_for_reports() {
        KIND.check_docs().unwrap();
    }
}
