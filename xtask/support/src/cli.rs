//! Command lines.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Is the `main` of a program: calls `run` with its arguments, and says in one line what is wrong with them.
pub fn main<A: Parser>(run: impl FnOnce(&A) -> Result<ExitCode>) -> ExitCode {
    let args = match A::try_parse() {
        Ok(args) => args,
        Err(error) if error.use_stderr() => return wrong_arguments(&error.to_string()),
        Err(help) => {
            print!("{help}");
            return ExitCode::SUCCESS;
        }
    };
    run(&args).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Says what is wrong with the arguments, in one line.
#[must_use]
pub fn wrong_arguments(message: &str) -> ExitCode {
    let lines: Vec<_> = message.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    eprintln!("{}", lines.join(" "));
    ExitCode::from(2)
}
