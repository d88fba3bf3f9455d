//! Where, when and how a report came about.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What has to be known to make sense of the figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    /// When it began, in UTC.
    pub(crate) date: String,
    /// What was typed.
    pub(crate) command: String,
    pub(crate) extent: Extent,
    /// Not known outside of a git repository.
    pub(crate) commit: Option<Commit>,
    pub(crate) machine: Machine,
    /// How many threads ran on average in the minute before.
    pub(crate) load: f64,
    pub(crate) toolchain: Toolchain,
    /// The versions of what else was measured, and measured with.
    pub(crate) peers: BTreeMap<String, String>,
    pub(crate) seconds: Seconds,
}

/// How much was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Extent {
    pub(crate) quick: bool,
    pub(crate) filter: Option<String>,
    /// How many rounds, or 0 if the report does not know.
    #[serde(default)]
    pub(crate) rounds: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Commit {
    pub(crate) id: String,
    /// Whether the files differed from it.
    pub(crate) dirty: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory: String,
    pub(crate) kernel: String,
    pub(crate) virtualised: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Toolchain {
    pub(crate) rustc: String,
    pub(crate) profile: String,
}

/// How long it took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seconds {
    pub(crate) build: f64,
    pub(crate) measure: f64,
}

impl About {
    /// Returns the facts with their names, for a table.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
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

/// Returns facts as a list in Markdown.
pub(crate) fn list(facts: &[(&str, String)]) -> String {
    facts.iter().map(|(name, fact)| format!("* {name}: {fact}\n")).collect()
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
