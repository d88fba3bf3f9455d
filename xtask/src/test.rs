//! `cargo xtask test`: everything that a change must pass.

mod circles;
mod code_map;
mod edges;
mod examples;
mod guide;
mod house_rules;
mod lexer;
mod lines;
mod steps;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use steps::STEPS;
use xtask_support::Spinner;

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
struct Outcome {
    step: &'static str,
    took: Duration,
    error: Option<String>,
}

/// Runs the steps.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let wanted = |name| args.steps.is_empty() || args.steps.iter().any(|step| step == name);
    let steps: Vec<_> = STEPS.iter().filter(|step| wanted(step.name)).collect();
    let mut outcomes = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let title = format!("[{}/{}] {:<9} {}", index + 1, steps.len(), step.name, step.about);
        let outcome = run_step(step, title);
        let failed = outcome.error.is_some();
        outcomes.push(outcome);
        if failed && args.fail_fast {
            break;
        }
    }
    Ok(summarize(&outcomes))
}

fn run_step(step: &steps::Step, title: String) -> Outcome {
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
    Outcome { step: step.name, took, error }
}

/// Prints what ran, with the count as the last line.
fn summarize(outcomes: &[Outcome]) -> ExitCode {
    println!();
    for Outcome { step, took, error } in outcomes {
        let result = if error.is_none() { "ok" } else { "FAILED" };
        println!("{step:<9} {result:<6} {:>6.1} s", took.as_secs_f64());
    }
    let failed = outcomes.iter().filter(|outcome| outcome.error.is_some()).count();
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
