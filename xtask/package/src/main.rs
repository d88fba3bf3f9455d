//! `cargo xtask package`: what a registry would get of each published crate, checked as those get it who use it.

#![expect(clippy::std_instead_of_alloc, reason = "it runs where there is a terminal")]

mod api;
mod archive;
mod facts;
mod order;

use std::process::ExitCode;

use anyhow::Result;
use cargo_metadata::{Metadata, Package};
use clap::Parser;
use xtask_support::cargo::{Cargo, metadata};
use xtask_support::{Spinner, markdown};

use archive::Archive;

/// Pack, build and document every published crate from its package, and compare its public API
#[derive(Parser)]
#[command(bin_name = "cargo xtask package")]
struct Args {
    /// Write the public API as it is to docs/api, instead of comparing it with what is there
    #[arg(long)]
    accept: bool,
}

/// What the table says of each crate.
const HEAD: [&str; 7] = ["crate", "README and licences", "facts", "built", "documented", "public API", "KiB"];

fn main() -> ExitCode {
    xtask_support::main(run)
}

/// Prints a table of the crates in publishing order, and what is wrong with them.
fn run(args: &Args) -> Result<ExitCode> {
    let metadata = metadata()?;
    let packages = order::published(&metadata)?;
    let spinner = Spinner::new("package".into());
    pack(&packages, &spinner)?;
    for package in &packages {
        Archive::new(package, &metadata).unpack()?;
    }

    let mut wrong = Vec::new();
    let mut rows = Vec::new();
    for package in &packages {
        let checked = check(package, &packages, &metadata, args, &spinner)?;
        rows.push(checked.row);
        wrong.extend(checked.wrong.into_iter().map(|sentence| format!("{}: {sentence}", package.name)));
    }
    spinner.finish("");
    print!("{}", markdown(&HEAD, HEAD.len() - 1, rows));
    for sentence in &wrong {
        eprintln!("error: {sentence}");
    }
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Packs all crates. Cargo's own build of the packages is left out: it unpacks those that a package depends on to where
/// they stay, and takes them from there when it is called again.
fn pack(packages: &[&Package], spinner: &Spinner) -> Result<()> {
    let names: Vec<_> = packages.iter().map(|package| format!("-p {}", package.name)).collect();
    // What is not committed yet is checked as well.
    Cargo::new(format!("package --locked --allow-dirty --no-verify {}", names.join(" "))).run(spinner)?;
    Ok(())
}

/// What was found out about a crate.
struct Checked {
    row: Vec<String>,
    /// A sentence for each thing.
    wrong: Vec<String>,
}

fn check(package: &Package, all: &[&Package], metadata: &Metadata, args: &Args, spinner: &Spinner) -> Result<Checked> {
    let archive = Archive::new(package, metadata);
    let files = archive.missing()?;
    let facts = facts::missing(package);
    archive.build(all, metadata, spinner)?;
    let json = archive.document(all, metadata, spinner)?;
    let changes = api::compare(package, &json, args.accept, spinner)?;
    let row = vec![
        format!("{} {}", package.name, package.version),
        mark(&files),
        mark(&facts),
        // A failure would have ended the program.
        "yes".into(),
        "yes".into(),
        if changes.is_empty() { "as listed".into() } else { "CHANGED".into() },
        archive.kibibytes()?.to_string(),
    ];
    let wrong = [files, facts, api::explain(&changes)].concat();
    Ok(Checked { row, wrong })
}

fn mark(wrong: &[String]) -> String {
    if wrong.is_empty() { "yes".into() } else { "NO".into() }
}
