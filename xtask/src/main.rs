//! One door to everything that is done with this workspace, for people and for CI: `cargo xtask` lists the verbs.

#![expect(clippy::std_instead_of_alloc, clippy::std_instead_of_core, reason = "it runs where there is a terminal")]

mod conformance;
mod coverage;
mod cross;
mod delegate;
mod fuzz;
mod loom;
mod msrv;
mod mutants;
mod oldest_rust;
mod sanitize;
mod sources;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

use delegate::Delegate;

/// What is done with this workspace, for people and for CI
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    Test(test::Args),
    /// Serve a file through the layers to a driver that this project did not write
    #[command(disable_help_flag = true)]
    Demo(Delegate),
    /// Measure how fast the crates are, and write a report with charts
    #[command(disable_help_flag = true)]
    Bench(Delegate),
    /// Compare two saved reports, and fail if something became slower
    #[command(disable_help_flag = true)]
    Compare(Delegate),
    /// Run the example devices against real drivers
    #[command(disable_help_flag = true)]
    Interop(Delegate),
    Conformance(conformance::Args),
    Loom(loom::Args),
    /// Pack, build and document every published crate from its package, and compare its public API
    #[command(disable_help_flag = true)]
    Package(Delegate),
    Msrv(msrv::Args),
    Cross(cross::Args),
    Fuzz(fuzz::Args),
    Sanitize(sanitize::Args),
    Coverage(coverage::Args),
    Mutants(mutants::Args),
}

fn main() -> ExitCode {
    xtask_support::main(run)
}

fn run(cli: &Cli) -> Result<ExitCode> {
    match &cli.verb {
        None => {
            print!("{}", Cli::command().render_help());
            Ok(ExitCode::SUCCESS)
        }
        Some(Verb::Test(args)) => test::run(args),
        Some(Verb::Demo(delegate)) => delegate.run("demo"),
        Some(Verb::Bench(delegate)) => delegate.run_optimized("bench"),
        Some(Verb::Compare(delegate)) => delegate.run("compare"),
        Some(Verb::Interop(delegate)) => delegate.run_optimized("interop"),
        Some(Verb::Conformance(args)) => conformance::run(args),
        Some(Verb::Loom(args)) => loom::run(args),
        Some(Verb::Package(delegate)) => delegate.run("package"),
        Some(Verb::Msrv(_)) => msrv::run(),
        Some(Verb::Cross(args)) => cross::run(args),
        Some(Verb::Fuzz(args)) => fuzz::run(args),
        Some(Verb::Sanitize(args)) => sanitize::run(args),
        Some(Verb::Coverage(_)) => coverage::run(),
        Some(Verb::Mutants(args)) => mutants::run(args),
    }
}
