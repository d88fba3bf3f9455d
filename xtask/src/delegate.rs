//! The verbs that are programs of their own: one is built when its verb is typed.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::Result;
use xtask_support::Spinner;
use xtask_support::cargo::{Cargo, metadata};

/// The arguments of a verb, which its program understands.
#[derive(clap::Args)]
pub(crate) struct Delegate {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

impl Delegate {
    /// Builds the program `xtask-VERB` in little time, with what is compiled for this program and for tests, runs it in
    /// the current directory, and returns its exit code.
    pub(crate) fn run(&self, verb: &str) -> Result<ExitCode> {
        self.run_with_profile(verb, "dev", "debug")
    }

    /// Does so with a program that measures: it is built for speed.
    pub(crate) fn run_optimized(&self, verb: &str) -> Result<ExitCode> {
        self.run_with_profile(verb, "release", "release")
    }

    fn run_with_profile(&self, verb: &str, profile: &str, folder: &str) -> Result<ExitCode> {
        let name = format!("xtask-{verb}");
        let spinner = Spinner::new(format!("building {name}"));
        Cargo::new(format!("build --locked --profile {profile} --package {name}")).run(&spinner)?;
        drop(spinner);
        let program = metadata()?.target_directory.join(folder).join(name);
        let code = Command::new(program).args(&self.args).status()?.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
    }
}
