//! What is measured in one step.

use std::io::{self, IsTerminal};
use std::time::Instant;

use anyhow::Result;
use xtask_report::spread::Round;
use xtask_report::{CaseId, Unit};
use xtask_support::Spinner;

/// What was measured of a case in one round.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measurement {
    pub(crate) id: CaseId,
    pub(crate) unit: Unit,
    pub(crate) round: Round,
}

/// Shows `title` and what happens, and how long that took.
pub(crate) fn step<T>(title: &str, run: impl FnOnce(&Spinner) -> Result<T>) -> Result<T> {
    if !io::stderr().is_terminal() {
        eprintln!("{title}");
    }
    let begin = Instant::now();
    let spinner = Spinner::new(title.to_owned());
    let result = run(&spinner)?;
    spinner.finish(&format!("{title}: {:.1} s", begin.elapsed().as_secs_f64()));
    Ok(result)
}
