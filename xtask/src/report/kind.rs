//! What a report is of.

use super::target::Target;

/// What is not measured and yet in every report of a kind.
pub(crate) struct Kind {
    /// What is above the page.
    pub(crate) title: &'static str,
    /// How the charts are read.
    pub(crate) legend: &'static str,
    pub(crate) targets: &'static [Target],
    /// What writes its figures into the documentation, and marks the place there.
    pub(crate) docs: &'static str,
}
