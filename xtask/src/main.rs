//! One door to everything that is done with this workspace, for people and for CI: `cargo xtask` lists the verbs.

#![expect(clippy::std_instead_of_alloc, clippy::std_instead_of_core, reason = "it runs where there is a terminal")]

mod bench;
mod cargo;
mod command;
mod compare;
mod conformance;
mod cross;
mod demo;
#[cfg(not(feature = "devices"))]
mod devices;
#[cfg(feature = "devices")]
mod hash;
mod interop;
mod msrv;
mod oldest_rust;
mod package;
mod report;
mod spinner;
mod test;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

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
    Demo(demo::Args),
    Bench(bench::Args),
    Compare(compare::Args),
    Interop(interop::Args),
    Conformance(conformance::Args),
    Package(package::Args),
    Msrv(msrv::Args),
    Cross(cross::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return wrong_arguments(&error.to_string()),
        Err(help) => return print(&help.to_string()),
    };
    let result = match cli.verb {
        None => return print(&Cli::command().render_help().to_string()),
        Some(Verb::Test(args)) => test::run(&args),
        Some(Verb::Demo(args)) => demo::run(&args),
        Some(Verb::Bench(args)) => bench::run(&args),
        Some(Verb::Compare(args)) => compare::run(&args),
        Some(Verb::Interop(args)) => interop::run(&args),
        Some(Verb::Conformance(args)) => conformance::run(&args),
        Some(Verb::Package(args)) => package::run(&args),
        Some(Verb::Msrv(args)) => msrv::run(&args),
        Some(Verb::Cross(args)) => cross::run(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn print(help: &str) -> ExitCode {
    print!("{help}");
    ExitCode::SUCCESS
}

/// Says what is wrong with the arguments, in one line.
fn wrong_arguments(message: &str) -> ExitCode {
    let lines: Vec<_> = message.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    eprintln!("{}", lines.join(" "));
    ExitCode::from(2)
}
