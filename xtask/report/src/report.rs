//! All that was measured, as it is read and written.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::about::About;
use crate::case::Case;
use crate::contender;
use crate::name::Name;

/// The file that `cargo xtask compare` reads.
const FILE: &str = "report.json";

/// All that was measured, and where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    pub about: About,
    pub cases: Vec<Case>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{case, report};

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
