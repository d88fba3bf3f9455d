//! The figures of a report, in docs/benchmarks.md.

use std::fs;

use anyhow::{Context, Result, anyhow};

use super::targets;
use crate::cargo::workspace_root;
use crate::report::Report;
use crate::report::about::list;

const FILE: &str = "docs/benchmarks.md";

/// Between these lines everything is from a report.
const BEGIN: &str = "<!-- begin: written by `cargo xtask bench --docs` -->\n";
const END: &str = "<!-- end: written by `cargo xtask bench --docs` -->\n";

/// Writes the figures of `report` into the documentation.
pub(super) fn publish(report: &Report) -> Result<()> {
    let path = workspace_root().join(FILE);
    let text = fs::read_to_string(&path).with_context(|| FILE)?;
    fs::write(&path, splice(&text, report)?).with_context(|| FILE)?;
    println!("{FILE} has the figures of {}", report.about.date);
    Ok(())
}

/// Returns `text` with the figures of `report` between the marks.
fn splice(text: &str, report: &Report) -> Result<String> {
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or_else(|| anyhow!("{FILE} has not both lines:\n{BEGIN}{END}"))?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", figures(report)))
}

fn figures(report: &Report) -> String {
    format!("{}\n{}", targets::table(report), list(&report.about.facts()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic::{case, report};

    #[test]
    fn splicing_twice_is_splicing_once_and_touches_nothing_else() {
        let text = format!("# Title\n\n{BEGIN}old\n{END}\nprose\n");
        let report = report([case("burst-1", "split", "1", [10.0; 3]), case("burst-1", "raw-split", "1", [5.0; 3])]);
        let once = splice(&text, &report).unwrap();
        assert_eq!(splice(&once, &report).unwrap(), once);
        assert!(once.starts_with("# Title\n\n<!-- begin") && once.ends_with("-->\n\nprose\n"), "{once}");
        assert!(once.contains("2.00 x") && once.contains("not measured") && !once.contains("old"), "{once}");
    }

    #[test]
    fn file_without_marks_is_an_error() {
        assert!(splice("# Title\n", &report([])).is_err());
        assert!(splice(&format!("{END}{BEGIN}"), &report([])).is_err());
    }

    #[test]
    fn documentation_has_the_marks() {
        let text = fs::read_to_string(workspace_root().join(FILE)).unwrap();
        assert!(splice(&text, &report([])).is_ok());
    }
}
