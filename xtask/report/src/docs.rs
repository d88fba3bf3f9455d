//! The figures of a report, in docs/benchmarks.md.

use std::fs;

use anyhow::{Context, Result, anyhow, ensure};

use crate::about::list;
use crate::kind::Kind;
use crate::report::Report;
use crate::target;
use xtask_support::cargo::workspace_root;

const FILE: &str = "docs/benchmarks.md";

impl Report {
    /// Writes its figures into the documentation.
    pub fn publish(&self, kind: &Kind) -> Result<()> {
        let measured = kind.targets.iter().any(|target| target.measure(self).is_some());
        ensure!(measured, "the report has none of the figures that `{}` writes", kind.docs);
        let path = workspace_root().join(FILE);
        let text = fs::read_to_string(&path).with_context(|| FILE)?;
        fs::write(&path, splice(&text, self, kind)?).with_context(|| FILE)?;
        println!("{FILE} has the figures of {}", self.about.date);
        Ok(())
    }
}

impl Kind {
    /// Checks that the documentation has a place for the figures of such reports.
    pub fn check_docs(&self) -> Result<()> {
        let text = fs::read_to_string(workspace_root().join(FILE)).with_context(|| FILE)?;
        place(&text, self).map(drop)
    }
}

/// Returns `text` with the figures of `report` between the marks, where everything is from a report.
fn splice(text: &str, report: &Report, kind: &Kind) -> Result<String> {
    kind.splice(FILE, text, &figures(report, kind))
}

impl Kind {
    /// Returns the text of `file` with `new` between the marks, where everything is from a report.
    pub fn splice(&self, file: &str, text: &str, new: &str) -> Result<String> {
        let [begin, end] = marks(self);
        let (before, after) = place_in(file, text, self)?;
        Ok(format!("{before}{begin}\n{new}\n{end}{after}"))
    }
}

/// Returns what is before and behind the marks.
fn place<'t>(text: &'t str, kind: &Kind) -> Result<(&'t str, &'t str)> {
    place_in(FILE, text, kind)
}

/// Returns what is before and behind the marks in the text of `file`.
fn place_in<'t>(file: &str, text: &'t str, kind: &Kind) -> Result<(&'t str, &'t str)> {
    let [begin, end] = marks(kind);
    let parts = text.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    parts.ok_or_else(|| anyhow!("{file} has not both lines:\n{begin}{end}"))
}

fn marks(kind: &Kind) -> [String; 2] {
    ["begin", "end"].map(|place| format!("<!-- {place}: written by `{}` -->\n", kind.docs))
}

fn figures(report: &Report, kind: &Kind) -> String {
    let (targets, more) = (target::table(kind.targets, report), (kind.more)(report));
    format!("{targets}\n{more}{}", list(&report.about.facts()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{case, report};
    use crate::target::{Bound, Target, target};

    const TARGETS: [Target; 2] = [
        target("one", "split", "burst-1/split/1", "burst-1/raw-split/1", Bound::Shown),
        target("one", "packed", "burst-1/packed/1", "burst-1/raw-packed/1", Bound::Shown),
    ];
    const KIND: Kind =
        Kind { title: "", legend: "", targets: &TARGETS, more: |_| "more\n\n".to_owned(), docs: "tool --docs" };
    const BEGIN: &str = "<!-- begin: written by `tool --docs` -->\n";
    const END: &str = "<!-- end: written by `tool --docs` -->\n";

    #[test]
    fn splicing_twice_is_splicing_once_and_touches_nothing_else() {
        let text = format!("# Title\n\n{BEGIN}old\n{END}\nprose\n");
        let report = report([case("burst-1", "split", "1", [10.0; 3]), case("burst-1", "raw-split", "1", [5.0; 3])]);
        let once = splice(&text, &report, &KIND).unwrap();
        assert_eq!(splice(&once, &report, &KIND).unwrap(), once);
        assert!(once.starts_with("# Title\n\n<!-- begin") && once.ends_with("-->\n\nprose\n"), "{once}");
        assert!(
            once.contains("2.00 x")
                && once.contains("\n\nmore\n\n* ")
                && once.contains("not measured")
                && !once.contains("old"),
            "{once}"
        );
    }

    #[test]
    fn file_without_marks_is_an_error() {
        assert!(splice("# Title\n", &report([]), &KIND).is_err());
        assert!(splice(&format!("{END}{BEGIN}"), &report([]), &KIND).is_err());
    }

    #[test]
    fn report_of_another_kind_is_an_error() {
        let other = report([case("burst-8", "split", "1", [1.0; 3])]);
        assert!(other.publish(&KIND).unwrap_err().to_string().contains("none of the figures"));
    }
}
