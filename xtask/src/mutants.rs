//! `cargo xtask mutants`: changes to the code that no test notices.

mod unnoticed;

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use unnoticed::Unnoticed;
use xtask_support::cargo::{program, workspace_root};

/// What is mutated: each package, its folder, and its files that decide something about what a driver says.
const FILES: [(&str, &str, &[&str]); 4] = [
    (
        "virtio-queue-core",
        "virtio-queue-core",
        &[
            "rules.rs",
            "state.rs",
            "in_order.rs",
            "recorded.rs",
            "lifecycle.rs",
            "saved.rs",
            "split/ring.rs",
            "split/serve.rs",
            "split/walk.rs",
            "split/restore.rs",
            "packed/ring.rs",
            "packed/serve.rs",
            "packed/walk.rs",
            "packed/restore.rs",
            "packed/stored.rs",
        ],
    ),
    ("virtio-chain", "virtio-chain", &["cursor.rs", "copies.rs", "reader.rs", "writer.rs", "transfer.rs"]),
    ("virtio-util", "virtio-util", &["owned_chain.rs", "shared_queue/state.rs"]),
    (
        "virtio-vhost-user",
        "adapters/vhost-user",
        &["inflight.rs", "inflight/any.rs", "inflight/layout.rs", "inflight/packed.rs", "inflight/split.rs"],
    ),
];

/// Change the code in one place after the other: each time a test must fail
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Make the K-th part of N of the changes, counted from 0
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
    /// List the changes, and make none
    #[arg(long)]
    list: bool,
    /// Mutate these packages only
    #[arg(value_parser = FILES.map(|(package, _, _)| package))]
    packages: Vec<String>,
}

/// Runs cargo-mutants on each package, with the tests of that package.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let unnoticed = Unnoticed::read()?;
    let mut caught = true;
    for (package, folder, files) in FILES {
        if !args.packages.is_empty() && !args.packages.iter().any(|name| name == package) {
            continue;
        }
        let files: Vec<_> = files.iter().map(|file| format!("{folder}/src/{file}")).collect();
        if let Some(gone) = files.iter().find(|file| !workspace_root().join(file).is_file()) {
            bail!("there is no {gone}: the list of files in {} must name those that there are", file!());
        }
        let unnoticed = unnoticed.patterns(&files, &list(package, &files)?)?;
        let mut mutants = mutants(package, &files);
        mutants.args(unnoticed.into_iter().flat_map(|pattern| ["--exclude-re".to_owned(), pattern]));
        mutants.args(args.shard.iter().flat_map(|shard| ["--shard", shard]));
        if args.list {
            mutants.arg("--list");
        } else {
            mutants.args(["--profile", "mutants", "--output", &format!("target/mutants-{package}")]);
            // A change that makes a loop endless is noticed by the time that a test takes.
            mutants.args(["--minimum-test-timeout", "60", "--timeout-multiplier", "4"]);
            // Examples in the documentation take longer to link than all tests to run.
            mutants.args(["--", "--tests"]);
        }
        caught &= mutants.status().context("cannot run cargo")?.success();
    }
    Ok(if caught { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A call of cargo-mutants for some files of a package.
fn mutants(package: &str, files: &[String]) -> Command {
    let mut mutants = Command::new(program());
    mutants.current_dir(workspace_root()).args(["mutants", "--package", package, "--all-features", "--no-shuffle"]);
    mutants.args(files.iter().flat_map(|file| ["--file", file]));
    mutants
}

/// Returns all changes to the files, as cargo-mutants names them.
fn list(package: &str, files: &[String]) -> Result<String> {
    let output = mutants(package, files).arg("--list").output().context("cannot run cargo")?;
    // 101 is cargo's own answer to a command that it does not have.
    if output.status.code() == Some(101) {
        bail!("`cargo mutants` cannot be run: install it with `cargo install --locked cargo-mutants`");
    }
    ensure!(output.status.success(), "`cargo mutants --list`: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
