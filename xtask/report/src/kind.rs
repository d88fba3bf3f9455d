//! What a report is of.

use crate::target::Target;

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
