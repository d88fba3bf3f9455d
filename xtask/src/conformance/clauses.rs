//! The list of clauses, as docs/conformance.md has it.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

/// The title of the section that says why some clauses have no test.
const REASONS: &str = "Not covered by tests here";

/// All clauses.
#[derive(Debug, Default)]
pub(super) struct Clauses {
    /// What each demands, by its id.
    pub(super) rules: BTreeMap<String, String>,
    /// Why some have no test.
    pub(super) reasons: BTreeMap<String, String>,
}

impl Clauses {
    /// Reads the tables below the headings of the second level. In each row the id comes first and what is said of it
    /// last.
    pub(super) fn parse(list: &str) -> Result<Self> {
        let mut clauses = Self::default();
        let mut section = None;
        for line in list.lines() {
            if let Some(title) = line.strip_prefix("## ") {
                section = Some(title);
            }
            let (Some(title), Some((id, text))) = (section, row(line)) else { continue };
            let table = if title == REASONS { &mut clauses.reasons } else { &mut clauses.rules };
            let before = table.insert(id.to_owned(), text.to_owned());
            ensure!(before.is_none(), "{id} is in the list twice");
        }
        ensure!(!clauses.rules.is_empty(), "the list of clauses is empty");
        Ok(clauses)
    }
}

/// Returns the first and the last cell of a row, unless it is the head of a table.
fn row(line: &str) -> Option<(&str, &str)> {
    let cells = line.strip_prefix("| ")?.strip_suffix(" |")?;
    let (id, rest) = cells.split_once(" | ")?;
    let text = rest.rsplit_once(" | ").map_or(rest, |(_, text)| text);
    (id != "id" && !id.starts_with("---")).then_some((id, text))
}
