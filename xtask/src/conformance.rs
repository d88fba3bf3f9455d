//! `cargo xtask conformance`: which clauses of the specification are shown by which tests.

mod clauses;
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::sources::sources;
use clauses::Clauses;
use xtask_support::cargo::workspace_root;

/// Compare the list of clauses with the tests that name them
#[derive(clap::Args)]
pub(crate) struct Args {
    /// List every clause with its tests
    #[arg(long)]
    verbose: bool,
}

/// Prints what is covered, and why the rest is not.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let (clauses, tests) = read()?;
    if args.verbose {
        for (id, names) in &tests {
            println!("{id:<15} {}", names.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
        }
        println!();
    }
    let covered = clauses.rules.keys().filter(|id| tests.contains_key(*id)).count();
    println!("{covered} of {} covered", clauses.rules.len());
    println!();
    for (id, reason) in &clauses.reasons {
        println!("{id:<15} {reason}");
    }
    let violations = violations(&clauses, &tests);
    for violation in &violations {
        eprintln!("{violation}");
    }
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns what is amiss between the list and the tests, for `cargo xtask test`.
pub(crate) fn check() -> Result<Vec<String>> {
    let (clauses, tests) = read()?;
    Ok(violations(&clauses, &tests))
}

/// The names of the tests that name an id.
type Coverage = BTreeMap<String, BTreeSet<String>>;

/// Reads the list, and all files that git knows or would.
fn read() -> Result<(Clauses, Coverage)> {
    let root = workspace_root();
    let list = fs::read_to_string(root.join("docs/conformance.md")).context("docs/conformance.md")?;
    let mut coverage = Coverage::new();
    for (file, source) in sources(&["*.rs"])? {
        for test in tests::find(&source) {
            for id in test.ids {
                coverage.entry(id).or_default().insert(format!("{}::{}", file.trim_end_matches(".rs"), test.name));
            }
        }
    }
    Ok((Clauses::parse(&list)?, coverage))
}

fn violations(clauses: &Clauses, tests: &Coverage) -> Vec<String> {
    // Other things look like ids too, such as SHA-256.
    let families: BTreeSet<_> = clauses.rules.keys().map(|id| family(id)).collect();
    let unknown = tests.iter().filter(|(id, _)| families.contains(family(id)) && !clauses.rules.contains_key(*id));
    let unknown = unknown.map(|(id, names)| {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        format!("{id} is named by {}, but there is no such clause", names.join(", "))
    });
    let bare = clauses.rules.iter().filter(|(id, _)| !tests.contains_key(*id) && !clauses.reasons.contains_key(*id));
    let bare = bare.map(|(id, rule)| format!("{id} has neither a test nor a reason: {rule}"));
    let both = clauses.reasons.keys().filter(|id| tests.contains_key(*id));
    let both = both.map(|id| format!("{id} has a test, and a reason to have none"));
    let strange = clauses.reasons.keys().filter(|id| !clauses.rules.contains_key(*id));
    let strange = strange.map(|id| format!("{id} has a reason to have no test, but there is no such clause"));
    unknown.chain(bare).chain(both).chain(strange).collect()
}

/// Returns an id without its number.
fn family(id: &str) -> &str {
    id.rsplit_once('-').map_or(id, |(family, _)| family)
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    fn amiss(source: &str) -> Vec<String> {
        let list = "## A\n| id | level | rule |\n| --- | --- | --- |\n| AA-1 | MUST | one |\n| AA-2 | MAY | two |\n\
                    ## Not covered by tests here\n| id | reason |\n| --- | --- |\n| AA-2 | transport |\n";
        let mut coverage = Coverage::new();
        for test in tests::find(source) {
            for id in test.ids {
                coverage.entry(id).or_default().insert(test.name.clone());
            }
        }
        violations(&Clauses::parse(list).unwrap(), &coverage)
    }

    #[test]
    fn violations_all_as_it_should_be_none() {
        assert_eq!(amiss("/// AA-1: it does.\n#[test]\nfn one() {\n}\n"), Vec::<String>::new());
    }

    #[test]
    fn violations_id_without_a_clause_found() {
        let source = "/// AA-1, AA-3, SHA-256\n#[test]\nfn one() {\n}\n";
        assert_eq!(amiss(source), ["AA-3 is named by one, but there is no such clause"]);
    }

    #[test]
    fn violations_clause_that_lost_its_test_found() {
        assert_eq!(amiss("/// AA-1\nfn one() {\n}\n"), ["AA-1 has neither a test nor a reason: one"]);
    }

    #[test]
    fn violations_clause_with_test_and_reason_found() {
        let source = "/// AA-1, AA-2\n#[test]\nfn one() {\n}\n";
        assert_eq!(amiss(source), ["AA-2 has a test, and a reason to have none"]);
    }
}
