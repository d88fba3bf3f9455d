//! A report of what was measured, as it is saved: by `cargo xtask bench`, or by `cargo xtask interop --bench`.

#![expect(clippy::std_instead_of_alloc, clippy::std_instead_of_core, reason = "it runs where there is a terminal")]
#![expect(missing_debug_implementations, reason = "nobody debugs a program by its parts")]
#![expect(missing_docs, clippy::missing_errors_doc, reason = "it is for the programs beside it")]

pub mod about;
mod beginning;
pub mod chart;
pub mod contender;
mod docs;
pub mod figure;
pub mod format;
pub mod frame;
mod kind;
pub mod machine;
mod name;
mod page;
pub mod spread;
pub mod synthetic;
mod tables;
pub mod target;
mod unit;

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use about::About;
pub use beginning::Beginning;
pub use kind::Kind;
pub use name::Name;
use spread::{Round, Spread};
pub use unit::Unit;

/// The file that `cargo xtask compare` reads.
const FILE: &str = "report.json";

/// All that was measured, and where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    pub about: About,
    pub cases: Vec<Case>,
}

/// What names a case in every report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CaseId {
    /// What is varied.
    pub figure: String,
    /// Who does it.
    pub contender: String,
    /// Where on the axis.
    pub value: String,
}

/// One thing that was measured, in every round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Case {
    #[serde(flatten)]
    pub id: CaseId,
    pub unit: Unit,
    pub rounds: Vec<Round>,
}

impl Report {
    /// Reads the report `name`.
    ///
    /// # Errors
    ///
    /// If it is not there or makes no sense. The error names the file.
    pub fn load(name: &Name) -> Result<Self> {
        Self::read(&name.directory()?)
    }

    fn read(directory: &Path) -> Result<Self> {
        let file = directory.join(FILE);
        let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is no report", file.display()))
    }

    /// Prints it, and writes all that it is to the directory of `name`.
    pub fn save(&self, kind: &Kind, name: &Name) -> Result<()> {
        print!("{}", tables::of_report(self, kind));
        let directory = name.directory()?;
        fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        self.write(&directory)?;
        fs::write(directory.join("report.md"), tables::document(self, kind))?;
        let page = directory.join("index.html");
        fs::write(&page, page::page(self, kind)?)?;
        println!("measured for {:.0} s; look at {}", self.about.seconds.measure, page.display());
        Ok(())
    }

    /// Writes its figures into the documentation.
    pub fn publish(&self, kind: &Kind) -> Result<()> {
        docs::publish(self, kind)
    }

    /// Writes it to `directory`, which exists.
    pub fn write(&self, directory: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(directory.join(FILE), text).with_context(|| format!("cannot write to {}", directory.display()))
    }

    pub fn case(&self, figure: &str, contender: &str, value: &str) -> Option<&Case> {
        let wanted = (figure, contender, value);
        self.cases.iter().find(|case| (case.figure(), case.contender(), case.value()) == wanted)
    }

    /// Returns the case that does the same thing as `case`, done by `contender`.
    pub fn counterpart(&self, case: &Case, contender: &str) -> Option<&Case> {
        self.case(case.figure(), contender, case.value())
    }

    /// Returns the case that shows how fast `case` could be.
    pub fn limit(&self, case: &Case) -> Option<&Case> {
        let limits = contender::limits(case.contender());
        limits.iter().find_map(|limit| self.counterpart(case, limit))
    }
}

impl CaseId {
    pub fn new(figure: &str, contender: &str, value: &str) -> Self {
        Self { figure: figure.to_owned(), contender: contender.to_owned(), value: value.to_owned() }
    }
}

impl fmt::Display for CaseId {
    /// Writes the name, as criterion has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { figure, contender, value } = self;
        write!(f, "{figure}/{contender}/{value}")
    }
}

impl Case {
    /// A case of which only one value is known in each round.
    pub fn of_values(id: CaseId, unit: Unit, values: Vec<f64>) -> Self {
        Self { id, unit, rounds: values.into_iter().map(Round::exact).collect() }
    }

    pub fn figure(&self) -> &str {
        &self.id.figure
    }

    pub fn contender(&self) -> &str {
        &self.id.contender
    }

    pub fn value(&self) -> &str {
        &self.id.value
    }

    /// Returns what each round has shown.
    pub fn values(&self) -> impl Iterator<Item = f64> {
        self.rounds.iter().map(|round| round.median)
    }

    /// Returns the median over the rounds, and the quartiles.
    pub fn spread(&self) -> Option<Spread> {
        Spread::middle(self.values())
    }

    /// Returns the best sample of all: what the case can do where nothing disturbs it.
    pub fn best(&self) -> Option<f64> {
        let rounds = self.rounds.iter();
        if self.unit.is_rate() {
            rounds.map(|round| round.most).max_by(f64::total_cmp)
        } else {
            rounds.map(|round| round.least).min_by(f64::total_cmp)
        }
    }

    /// Returns how many times `other` this is, in each round. What slows the machine down for longer than a round does
    /// not show in that.
    pub fn ratios(&self, other: &Self) -> impl Iterator<Item = f64> {
        self.values().zip(other.values()).map(|(value, other)| value / other)
    }

    /// Returns the median of that, and the quartiles.
    pub fn relative_to(&self, other: &Self) -> Option<Spread> {
        Spread::middle(self.ratios(other))
    }
}

#[cfg(test)]
mod tests {
    use super::synthetic::{case, report};
    use super::*;

    #[test]
    fn ratio_of_two_cases_is_taken_in_each_round() {
        // A machine that becomes slower from round to round.
        let ours = case("burst-1", "split", "1", [10.0, 20.0, 40.0]);
        let limit = case("burst-1", "raw-split", "1", [5.0, 10.0, 10.0]);
        assert_eq!(ours.relative_to(&limit), Some(Spread { median: 2.0, low: 2.0, high: 3.0 }));
    }

    #[test]
    fn limit_is_of_the_same_format_figure_and_value() {
        let report = report([
            case("burst-1", "packed", "1", [1.0; 3]),
            case("burst-1", "raw-split", "1", [1.0; 3]),
            case("burst-1", "raw-packed", "8", [1.0; 3]),
            case("burst-8", "raw-packed", "1", [1.0; 3]),
        ]);
        assert!(report.limit(&report.cases[0]).is_none());
    }

    #[test]
    fn report_that_is_broken_or_missing_is_an_error_with_its_path() {
        let directory = std::env::temp_dir().join(format!("virtio-xtask-report-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join(FILE).display().to_string();
        assert_eq!(Report::read(&directory).unwrap_err().to_string(), format!("cannot read {path}"));
        fs::write(&path, "{ \"about\": ").unwrap();
        assert_eq!(Report::read(&directory).unwrap_err().to_string(), format!("{path} is no report"));
        report([case("burst-1", "split", "1", [1.0, 2.0, 3.0])]).write(&directory).unwrap();
        assert_eq!(Report::read(&directory).unwrap().cases[0].spread().unwrap().median, 2.0);
        fs::remove_dir_all(&directory).unwrap();
    }
}
