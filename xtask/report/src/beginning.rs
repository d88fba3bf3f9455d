//! What has to be known before anything is measured.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use crate::about::{About, Commit, Extent, Seconds, Toolchain};
use crate::machine;

/// When something began, and how things were then.
pub struct Beginning {
    date: String,
    commit: Option<Commit>,
    load: f64,
    clock: Instant,
}

impl Beginning {
    /// Looks before anything is built: files may change meanwhile, and a build is a load.
    pub fn now() -> Result<Self> {
        Ok(Self {
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            commit: machine::commit(),
            load: machine::load()?,
            clock: Instant::now(),
        })
    }

    /// Returns how long ago that was.
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Returns what there is to be said of what was measured since then, after `build` of building.
    pub fn about(
        self,
        build: Duration,
        extent: Extent,
        profile: &str,
        peers: BTreeMap<String, String>,
    ) -> Result<About> {
        let measure = self.elapsed().saturating_sub(build);
        Ok(About {
            date: self.date,
            command: machine::command(),
            extent,
            commit: self.commit,
            machine: machine::machine()?,
            load: self.load,
            toolchain: Toolchain { rustc: machine::rustc()?, profile: profile.to_owned() },
            peers,
            seconds: Seconds { build: build.as_secs_f64(), measure: measure.as_secs_f64() },
        })
    }
}
