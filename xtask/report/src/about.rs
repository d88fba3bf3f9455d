//! Where, when and how a report came about.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What has to be known to make sense of the figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// When it began, in UTC.
    pub date: String,
    /// What was typed.
    pub command: String,
    pub extent: Extent,
    /// Not known outside of a git repository.
    pub commit: Option<Commit>,
    pub machine: Machine,
    /// How many threads ran on average in the minute before.
    pub load: f64,
    pub toolchain: Toolchain,
    /// The versions of what else was measured, and measured with.
    pub peers: BTreeMap<String, String>,
    pub seconds: Seconds,
}

/// How much was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    pub quick: bool,
    pub filter: Option<String>,
    /// How many rounds, or 0 if the report does not know.
    #[serde(default)]
    pub rounds: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub id: String,
    /// Whether the files differed from it.
    pub dirty: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory: String,
    pub kernel: String,
    pub virtualised: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolchain {
    pub rustc: String,
    pub profile: String,
}

/// How long it took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    pub build: f64,
    pub measure: f64,
}

impl About {
    /// Returns the facts with their names, for a table.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let peers: Vec<_> = self.peers.iter().map(|(name, version)| format!("{name} {version}")).collect();
        let Seconds { build, measure } = self.seconds;
        vec![
            ("command", self.command.clone()),
            ("date", self.date.clone()),
            ("commit", self.commit.as_ref().map_or("unknown".to_owned(), Commit::describe)),
            ("machine", self.machine.describe()),
            ("load before", self.load.to_string()),
            ("toolchain", format!("{}, profile {}", self.toolchain.rustc, self.toolchain.profile)),
            ("in the same run", peers.join(", ")),
            ("took", format!("{measure:.0} s, after {build:.0} s of building")),
        ]
    }
}

/// Returns facts as a list in Markdown, with lines of at most 120 columns.
pub fn list(facts: &[(&str, String)]) -> String {
    facts.iter().map(|(name, fact)| wrap(&format!("* {name}: {fact}"))).collect()
}

/// Breaks a line of a list between words.
fn wrap(line: &str) -> String {
    let mut lines = String::new();
    let mut columns = 0;
    for word in line.split(' ') {
        let more = word.chars().count() + 1;
        let separator = if columns == 0 {
            ""
        } else if columns + more > 120 {
            "\n  "
        } else {
            " "
        };
        columns = if separator == "\n  " { more + 1 } else { columns + more };
        lines += separator;
        lines += word;
    }
    lines + "\n"
}

impl Commit {
    fn describe(&self) -> String {
        format!("{}{}", self.id, if self.dirty { ", with changes" } else { "" })
    }
}

impl Machine {
    fn describe(&self) -> String {
        let Self { processor, cores, memory, kernel, virtualised } = self;
        let kind = if *virtualised { "virtual machine" } else { "bare metal" };
        format!("{processor}, {cores} cores, {memory}, {kernel}, {kind}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_facts_are_broken_between_words() {
        let fact = ["word"; 30].join(" ");
        let listed = list(&[("short", "1".into()), ("long", fact.clone())]);
        let lines: Vec<_> = listed.lines().collect();
        assert_eq!(lines[0], "* short: 1");
        assert!(lines.iter().all(|line| line.len() <= 120) && lines[1].len() > 110, "{listed}");
        assert_eq!(lines[1..].join(" ").replace("   ", " "), format!("* long: {fact}"));
    }
}
