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
    /// Builds the program `xtask-VERB` for speed, runs it in the current directory, and returns its exit code.
    pub(crate) fn run(&self, verb: &str) -> Result<ExitCode> {
        let name = format!("xtask-{verb}");
        let spinner = Spinner::new(format!("building {name}"));
        Cargo::new(format!("build --locked --release --package {name}")).run(&spinner)?;
        drop(spinner);
        let program = metadata()?.target_directory.join("release").join(name);
        let code = Command::new(program).args(&self.args).status()?.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
    }
}
