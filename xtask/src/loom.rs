//! `cargo xtask loom`: the rings as they are shipped, under a model checker.

mod sites;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::Message;

use sites::{Site, Weakening};
use xtask_support::Spinner;
use xtask_support::cargo::{Cargo, metadata, workspace_root};

/// Run the models of what a device and its driver do at the same time
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Weaken each ordering and remove each fence in turn: every time a model must fail
    #[arg(long)]
    weaken: bool,
}

/// Runs the models.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let models = build()?;
    let sites = run_models(&models)?;
    let unseen = sites::unseen(workspace_root(), &sites)?;
    if args.weaken { weaken(&models, &sites, &unseen) } else { Ok(verdict(&unseen, 0)) }
}

/// Builds the models, and returns the program that they are in.
fn build() -> Result<PathBuf> {
    let spinner = Spinner::new("the models are built".to_owned());
    let line = "test --locked --manifest-path xtask/loom/Cargo.toml --no-run --test it \
                --message-format=json-render-diagnostics";
    let cargo = Cargo::new(line).env("RUSTFLAGS", "--cfg virtio_loom");
    let printed = cargo.env("CARGO_TARGET_DIR", metadata()?.target_directory.join("loom")).run(&spinner)?;
    let messages = Message::parse_stream(printed.as_bytes());
    let program = messages.filter_map(|message| match message.ok()? {
        Message::CompilerArtifact(artifact) => artifact.executable,
        _ => None,
    });
    Ok(program.last().context("cargo has built no models")?.into())
}

/// Runs all models as they are, and returns the places in the source that they came to.
fn run_models(program: &Path) -> Result<Vec<Site>> {
    let report = program.with_extension("sites");
    if report.exists() {
        fs::remove_file(&report)?;
    }
    let status = Command::new(program).env("VIRTIO_LOOM_SITES", &report).status()?;
    ensure!(status.success(), "a model fails");
    let lines = fs::read_to_string(&report).with_context(|| format!("cannot read {}", report.display()))?;
    sites::parse(&lines, workspace_root())
}

/// Makes each place weaker in turn, and prints which model fails.
fn weaken(program: &Path, sites: &[Site], unseen: &[String]) -> Result<ExitCode> {
    let mut missed = 0;
    for site in sites {
        for weakening in &site.weakenings {
            let catcher = catcher(program, weakening)?;
            missed += usize::from(catcher.is_none());
            let verdict = catcher.map_or_else(|| "NOT CAUGHT".to_owned(), |model| format!("caught by {model}"));
            println!("{:<52} {:<8} {verdict}", site.place, weakening.to);
        }
    }
    Ok(verdict(unseen, missed))
}

/// Returns the first model that fails with something weaker, of those that came to it.
fn catcher<'w>(program: &Path, weakening: &'w Weakening) -> Result<Option<&'w str>> {
    for model in &weakening.models {
        let mut command = Command::new(program);
        let output = command.args([model, "--exact"]).env("VIRTIO_LOOM_WEAKEN", &weakening.name).output()?;
        match output.status.code() {
            Some(0) => {}
            Some(101) => return Ok(Some(model)),
            _ => bail!("{model} ended with {}", output.status),
        }
    }
    Ok(None)
}

/// Says what no model came to, and what none has caught.
fn verdict(unseen: &[String], missed: usize) -> ExitCode {
    for place in unseen {
        eprintln!("{place}: no model comes here");
    }
    if missed != 0 {
        eprintln!("{missed} not caught");
    }
    if unseen.is_empty() && missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
