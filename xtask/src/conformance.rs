//! `cargo xtask conformance`: which clauses of the specification are shown by which tests, and kept by which code.

mod clauses;
mod code;
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::sources::sources;
use clauses::Clauses;
use xtask_support::cargo::workspace_root;

/// Compare the list of clauses with the tests and the code that name them
#[derive(clap::Args)]
pub(crate) struct Args {
    /// List every clause with its tests and its code
    #[arg(long)]
    verbose: bool,
}

/// Prints what is covered, and why the rest is not.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let (clauses, tests, code) = read()?;
    if args.verbose {
        for id in clauses.rules.keys() {
            println!("{id:<15} tests: {}", listed(tests.get(id)));
            println!("{:<15} code:  {}", "", listed(code.get(id)));
        }
        println!();
    }
    let covered = clauses.rules.keys().filter(|id| tests.contains_key(*id)).count();
    let named = clauses.rules.keys().filter(|id| code.contains_key(*id)).count();
    println!("{covered} of {} covered, {named} named by code", clauses.rules.len());
    println!();
    for (id, reason) in &clauses.reasons {
        println!("{id:<15} {reason}");
    }
    let violations = violations(&clauses, &tests, &code);
    for violation in &violations {
        eprintln!("{violation}");
    }
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns what is amiss between the list, the tests and the code, for `cargo xtask test`.
pub(crate) fn check() -> Result<Vec<String>> {
    let (clauses, tests, code) = read()?;
    Ok(violations(&clauses, &tests, &code))
}

/// The places that name an id: tests, or files of code.
type Places = BTreeMap<String, BTreeSet<String>>;

/// Returns some places in one line.
fn listed(places: Option<&BTreeSet<String>>) -> String {
    places.map_or_else(|| "none".to_owned(), |places| places.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
}

/// Reads the list, and the places in all files that git knows or would.
fn read() -> Result<(Clauses, Places, Places)> {
    let root = workspace_root();
    let list = fs::read_to_string(root.join("docs/conformance.md")).context("docs/conformance.md")?;
    let (mut tests, mut code) = (Places::new(), Places::new());
    for (file, source) in sources(&["*.rs"])? {
        for test in tests::find(&source) {
            for id in test.ids {
                tests.entry(id).or_default().insert(format!("{}::{}", file.trim_end_matches(".rs"), test.name));
            }
        }
    }
    for (file, source) in sources(&code::CODE)? {
        for id in code::find(&file, &source) {
            code.entry(id).or_default().insert(file.clone());
        }
    }
    Ok((Clauses::parse(&list)?, tests, code))
}

fn violations(clauses: &Clauses, tests: &Places, code: &Places) -> Vec<String> {
    let Clauses { rules, reasons } = clauses;
    // Other things look like ids too, such as SHA-256.
    let families: BTreeSet<_> = rules.keys().map(|id| family(id)).collect();
    let named = tests.iter().chain(code);
    let unknown = named.filter(|(id, _)| families.contains(family(id)) && !rules.contains_key(*id));
    let unknown = unknown.map(|(id, places)| {
        let places = listed(Some(places));
        format!("{id} is named by {places}, but there is no such clause")
    });
    let without = |places: &Places, id: &String| !places.contains_key(id) && !reasons.contains_key(id);
    let bare = rules.iter().filter(|(id, _)| without(tests, id));
    let bare = bare.map(|(id, rule)| format!("{id} has neither a test nor a reason: {}", rule.text));
    let kept = rules.iter().filter(|(id, rule)| rule.needs_code(id) && without(code, id));
    let kept = kept.map(|(id, rule)| format!("{id} has neither code that names it nor a reason: {}", rule.text));
    let both = reasons.keys().filter(|id| tests.contains_key(*id));
    let both = both.map(|id| format!("{id} has a test, and a reason to have none"));
    let strange = reasons.keys().filter(|id| !rules.contains_key(*id));
    let strange = strange.map(|id| format!("{id} has a reason to have no test, but there is no such clause"));
    unknown.chain(bare).chain(kept).chain(both).chain(strange).collect()
}

/// Returns an id without its number.
fn family(id: &str) -> &str {
    id.rsplit_once('-').map_or(id, |(family, _)| family)
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    /// Returns what is amiss if the code names AA-1 alone.
    fn amiss(source: &str) -> Vec<String> {
        amiss_with_code(source, "/// Does (AA-1).")
    }

    fn amiss_with_code(source: &str, code: &str) -> Vec<String> {
        let list = "## A\n| id | level | rule |\n| --- | --- | --- |\n| AA-1 | MUST | one |\n| AA-2 | MAY | two |\n\
                    ## Not covered by tests here\n| id | reason |\n| --- | --- |\n| AA-2 | transport |\n";
        let (mut tests, mut places) = (Places::new(), Places::new());
        for test in tests::find(source) {
            for id in test.ids {
                tests.entry(id).or_default().insert(test.name.clone());
            }
        }
        for id in code::find("a.rs", code) {
            places.entry(id).or_default().insert("a.rs".to_owned());
        }
        violations(&Clauses::parse(list).unwrap(), &tests, &places)
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

    #[test]
    fn violations_clause_that_no_code_names_found() {
        let source = "/// AA-1\n#[test]\nfn one() {\n}\n";
        assert_eq!(amiss_with_code(source, ""), ["AA-1 has neither code that names it nor a reason: one"]);
    }

    #[test]
    fn violations_id_in_code_without_a_clause_found() {
        let source = "/// AA-1\n#[test]\nfn one() {\n}\n";
        let sentence = "AA-7 is named by a.rs, but there is no such clause";
        assert_eq!(amiss_with_code(source, "// AA-1, AA-7"), [sentence]);
    }
}
