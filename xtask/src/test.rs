//! `cargo xtask test`: everything that a change must pass.

mod apart;
mod circles;
mod code_map;
mod edges;
mod examples;
mod guide;
mod house_rules;
mod lexer;
mod lines;
mod steps;
mod unit_tests;

use std::env;
use std::fs;
use std::io::{self, IsTerminal};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use steps::{Place, STEPS, Step};
use xtask_support::Spinner;
use xtask_support::cargo::metadata;

/// Check everything that a change must pass, in minutes
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Stop at the first step that fails
    #[arg(long)]
    fail_fast: bool,
    /// Run these steps only
    #[arg(value_parser = STEPS.map(|step| step.name))]
    steps: Vec<String>,
}

/// What came of a step.
#[derive(Clone)]
struct Outcome {
    number: usize,
    step: &'static str,
    took: Duration,
    error: Option<String>,
}

/// The steps that are wanted, while they run.
struct Run {
    steps: Vec<&'static Step>,
    fail_fast: bool,
    has_failed: AtomicBool,
}

/// Tells cargo whether it keeps what it needs to compile a changed crate in less time.
const INCREMENTAL: &str = "CARGO_INCREMENTAL";

/// Runs the steps. Where nothing was compiled incrementally before, this is left out: a fifth of the time goes into it.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if env::var_os(INCREMENTAL).is_some() || was_incremental()? {
        return run_steps(args);
    }
    let again = Command::new(env::current_exe()?).args(env::args_os().skip(1)).env(INCREMENTAL, "0").status()?;
    Ok(if again.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns whether crates of the workspace were compiled incrementally. To compile them in the other way is to compile
/// them anew. That of this program itself does not count.
fn was_incremental() -> Result<bool> {
    let Ok(mut crates) = fs::read_dir(metadata()?.target_directory.join("debug/incremental")) else { return Ok(false) };
    Ok(crates.any(|name| name.is_ok_and(|name| name.file_name().to_string_lossy().starts_with("virtio_"))))
}

/// Runs the steps, those of all places at the same time.
fn run_steps(args: &Args) -> Result<ExitCode> {
    let begin = Instant::now();
    let wanted = |step: &&Step| args.steps.is_empty() || args.steps.iter().any(|name| name == step.name);
    let steps = STEPS.iter().filter(wanted).collect();
    let run = &Run { steps, fail_fast: args.fail_fast, has_failed: AtomicBool::new(false) };
    let places = [Place::Tests, Place::Checks, Place::Apart];
    let mut outcomes = thread::scope(|scope| {
        let running = places.map(|place| scope.spawn(move || run.place(place)));
        let outcomes = running.into_iter().map(|place| place.join().map_err(|_| anyhow!("a step panicked")));
        outcomes.collect::<Result<Vec<_>>>()
    })?
    .concat();
    outcomes.sort_by_key(|outcome| outcome.number);
    Ok(summarize(&outcomes, begin.elapsed()))
}

impl Run {
    /// Runs the steps of one place, in their order.
    fn place(&self, place: Place) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for (number, step) in (1..).zip(&self.steps).filter(|(_, step)| step.place == place) {
            // Relaxed: nothing is handed over with it.
            if self.fail_fast && self.has_failed.load(Ordering::Relaxed) {
                break;
            }
            let outcome = self.step(number, step);
            self.has_failed.fetch_or(outcome.error.is_some(), Ordering::Relaxed);
            outcomes.push(outcome);
        }
        outcomes
    }

    fn step(&self, number: usize, step: &Step) -> Outcome {
        let title = format!("[{number}/{}] {:<9} {}", self.steps.len(), step.name, step.about);
        let begin = Instant::now();
        if !io::stderr().is_terminal() {
            eprintln!("{title}");
        }
        let spinner = Spinner::new(title.clone());
        let error = (step.run)(&spinner).err().map(|error| format!("{error:#}"));
        let took = begin.elapsed();
        spinner.finish(&match &error {
            None => format!("{title}: ok, {:.1} s", took.as_secs_f64()),
            Some(error) => format!("{title}: FAILED, {:.1} s\n{error}", took.as_secs_f64()),
        });
        Outcome { number, step: step.name, took, error }
    }
}

/// Prints what ran, with the count as the last line.
fn summarize(outcomes: &[Outcome], took: Duration) -> ExitCode {
    println!();
    for Outcome { step, took, error, .. } in outcomes {
        let result = if error.is_none() { "ok" } else { "FAILED" };
        println!("{step:<9} {result:<6} {:>6.1} s", took.as_secs_f64());
    }
    let failed = outcomes.iter().filter(|outcome| outcome.error.is_some()).count();
    println!("{} passed, {failed} failed, {:.1} s", outcomes.len() - failed, took.as_secs_f64());
    if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
