//! `cargo xtask mutants`: changes to the code that no test notices.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use xtask_support::cargo::{program, workspace_root};

/// What is mutated: each package, and its files that decide something about what a driver says.
const FILES: [(&str, &[&str]); 3] = [
    (
        "virtio-queue-core",
        &[
            "rules.rs",
            "state.rs",
            "in_order.rs",
            "recorded.rs",
            "split/ring.rs",
            "split/walk.rs",
            "packed/ring.rs",
            "packed/walk.rs",
        ],
    ),
    ("virtio-chain", &["cursor.rs", "reader.rs", "writer.rs"]),
    ("virtio-util", &["owned_chain.rs"]),
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
    #[arg(value_parser = FILES.map(|(package, _)| package))]
    packages: Vec<String>,
}

/// Runs cargo-mutants on each package, with the tests of that package.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut caught = true;
    for (package, files) in FILES {
        if !args.packages.is_empty() && !args.packages.iter().any(|name| name == package) {
            continue;
        }
        let mut mutants = Command::new(program());
        mutants.current_dir(workspace_root()).args(["mutants", "--package", package, "--all-features", "--no-shuffle"]);
        mutants.args(files.iter().flat_map(|file| ["--file".to_owned(), format!("{package}/src/{file}")]));
        mutants.args(["--output", &format!("target/mutants-{package}")]);
        mutants.args(args.shard.iter().flat_map(|shard| ["--shard", shard]));
        mutants.args(args.list.then_some("--list"));
        let status = mutants.status().context("cannot run cargo")?;
        // 101 is cargo's own answer to a command that it does not have.
        if status.code() == Some(101) {
            anyhow::bail!("`cargo mutants` cannot be run: install it with `cargo install --locked cargo-mutants`");
        }
        caught &= status.success();
    }
    Ok(if caught { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
