//! What a report is of.

use anyhow::Result;

use super::docs;
use super::target::Target;

/// What is not measured and yet in every report of a kind.
pub struct Kind {
    /// What is above the page.
    pub title: &'static str,
    /// How the charts are read.
    pub legend: &'static str,
    pub targets: &'static [Target],
    /// What writes its figures into the documentation, and marks the place there.
    pub docs: &'static str,
}

impl Kind {
    /// Checks that the documentation has a place for the figures of such reports.
    pub fn check_docs(&self) -> Result<()> {
        docs::check(self)
    }
}
