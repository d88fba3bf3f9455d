//! What a report is of.

use crate::report::Report;
use crate::target::Target;

/// What is not measured and yet in every report of a kind.
pub struct Kind {
    /// What is above the page.
    pub title: &'static str,
    /// How the charts are read.
    pub legend: &'static str,
    pub targets: &'static [Target],
    /// What is written into the documentation after the targets, such as a table of absolute figures.
    pub more: fn(&Report) -> String,
    /// What writes its figures into the documentation, and marks the place there.
    pub docs: &'static str,
}
