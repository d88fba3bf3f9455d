//! The list of clauses, as docs/conformance.md has it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

/// The title of the section that says why some clauses have no test.
const REASONS: &str = "Not covered by tests here";

/// The levels of what a side must or should do.
const BINDING: [&str; 4] = ["MUST", "MUSTNOT", "SHOULD", "SHOULDNOT"];

/// The families of further rules that code keeps.
const OURS: [&str; 6] = ["KEEP-", "BACK-", "BASE-", "RECORD-", "HOST-", "INV-"];

/// The families of rules for drivers.
const DRIVER: &str = "DRV-";

/// The reactions to a driver that code decides on.
const REACTIONS: [&str; 3] = ["CFG", "FATAL", "CHAIN"];

/// All clauses.
#[derive(Debug, Default)]
pub(super) struct Clauses {
    /// The rules by their ids.
    pub(super) rules: BTreeMap<String, Rule>,
    /// Why some have no test.
    pub(super) reasons: BTreeMap<String, String>,
}

/// What a clause demands.
#[derive(Debug)]
pub(super) struct Rule {
    level: String,
    pub(super) text: String,
}

impl Rule {
    /// Returns whether code must name the rule, which has this id.
    pub(super) fn needs_code(&self, id: &str) -> bool {
        let binding = BINDING.contains(&self.level.as_str());
        if id.starts_with(DRIVER) {
            return binding && REACTIONS.iter().any(|reaction| self.text.contains(reaction));
        }
        binding || OURS.iter().any(|family| id.starts_with(family))
    }
}

impl Clauses {
    /// Reads the tables below the headings of the second level. In each row the id comes first, then the level, and
    /// last the rule. The last table has no levels.
    pub(super) fn parse(list: &str) -> Result<Self> {
        let mut clauses = Self::default();
        let mut section = None;
        for line in list.lines() {
            if let Some(title) = line.strip_prefix("## ") {
                section = Some(title);
            }
            let (Some(title), Some((id, rest))) = (section, row(line)) else { continue };
            let is_new = if title == REASONS {
                clauses.reasons.insert(id.to_owned(), rest.to_owned()).is_none()
            } else {
                let (level, text) = rest.split_once(" | ").with_context(|| format!("{id} has no level"))?;
                let rule = Rule { level: level.to_owned(), text: text.to_owned() };
                clauses.rules.insert(id.to_owned(), rule).is_none()
            };
            ensure!(is_new, "{id} is in the list twice");
        }
        ensure!(!clauses.rules.is_empty(), "the list of clauses is empty");
        Ok(clauses)
    }
}

/// Returns the first cell of a row, and the others, unless it is the head of a table.
fn row(line: &str) -> Option<(&str, &str)> {
    let (id, rest) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
    (id != "id" && !id.starts_with("---")).then_some((id, rest))
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn needs_code_is_for_what_a_device_decides() {
        for (id, level, text, expected) in [
            ("SPLIT-USED-1", "MUST", "one", true),
            ("SPLIT-USED-2", "SHOULDNOT", "one", true),
            ("SPLIT-USED-3", "MAY", "one", false),
            ("EVA-2", "IMPL", "one", false),
            ("KEEP-1", "IMPL", "one", true),
            ("INV-1", "INV", "one", true),
            ("DRV-CFG-1", "MUST", "it must; CFG otherwise", true),
            ("DRV-BAR-2", "MUST", "it must; no reaction", false),
            ("DRV-MAY-1", "MAY", "it may; FATAL", false),
        ] {
            let rule = Rule { level: level.to_owned(), text: text.to_owned() };
            assert_eq!(rule.needs_code(id), expected, "{id}");
        }
    }
}
