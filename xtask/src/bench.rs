//! `cargo xtask bench`: how fast the crates are, next to what cannot be beaten and to what else there is.

mod criterion;
mod docs;
mod filter;
mod instructions;
mod machine;
mod page;
mod programs;
mod rounds;
mod tables;
mod targets;
mod two_cores;

use std::fs;
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, ensure};

use crate::report::about::{About, Extent, Seconds};
use crate::report::{Name, Report};
use filter::Filter;
use programs::Programs;

/// Measure how fast the crates are, and write a report with charts
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure fewer values for a shorter time, in less than three minutes
    #[arg(long)]
    quick: bool,
    /// What to call the report, which is written to target/bench-reports
    #[arg(long, value_name = "NAME", default_value = "latest")]
    save: Name,
    /// Measure nothing, but write the figures of this report into docs/benchmarks.md
    #[arg(long, value_name = "NAME", exclusive = true)]
    docs: Option<Name>,
    /// Measure only cases whose name, FIGURE/CONTENDER/VALUE, this regular expression matches
    filter: Option<Filter>,
}

/// Measures and writes the report, or publishes one.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if let Some(name) = &args.docs {
        docs::publish(&Report::load(name)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = measure(args)?;
    print!("{}", tables::of_report(&report));
    let directory = args.save.directory()?;
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    report.write(&directory)?;
    fs::write(directory.join("report.md"), tables::document(&report))?;
    let page = directory.join("index.html");
    fs::write(&page, page::page(&report)?)?;
    println!("measured for {:.0} s; look at {}", report.about.seconds.measure, page.display());
    Ok(ExitCode::SUCCESS)
}

fn measure(args: &Args) -> Result<Report> {
    let filter = args.filter.clone().unwrap_or_default();
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    // Asked before anything is built: files may change meanwhile, and a build is a load.
    let (commit, load) = (machine::commit(), machine::load()?);
    let begin = Instant::now();
    let programs = Programs::build(args.quick)?;
    let build = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let cases = rounds::measure(&programs, &filter)?;
    ensure!(!cases.is_empty(), "no case matches");
    let seconds = Seconds { build, measure: begin.elapsed().as_secs_f64() };
    let about = About {
        date,
        command: machine::command(),
        extent: Extent { quick: args.quick, filter: filter.pattern().map(str::to_owned) },
        commit,
        machine: machine::machine()?,
        load,
        toolchain: machine::toolchain()?,
        peers: machine::peers(),
        seconds,
    };
    Ok(Report { about, cases })
}
