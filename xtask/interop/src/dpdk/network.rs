//! The back end `vhost-user-net`.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use super::super::back_end::{BackEnd, Resources};
use super::super::output::PATIENCE;
use crate::packets::Report;

/// A running back end.
pub(super) struct Network {
    pub(super) back_end: BackEnd,
    pairs: usize,
}

impl Network {
    /// Starts it with so many pairs of queues.
    pub(super) fn start(program: &Path, pairs: usize, args: &[&str]) -> Result<Self> {
        let queues = pairs.to_string();
        let back_end = BackEnd::start(program, &[args, &["--queues", &queues]].concat())?;
        Ok(Self { back_end, pairs })
    }

    /// Returns what it has done until now.
    pub(super) fn report(&mut self) -> Result<Report> {
        self.back_end.ask_for_report()?;
        self.next_report()
    }

    /// Returns what it has done until its front end was gone, and checks that it is still there.
    pub(super) fn last_report(mut self) -> Result<Report> {
        let report = self.next_report()?;
        ensure!(report.transmitted.errors == 0 && report.received.errors == 0, "there were errors: {report:?}");
        ensure!(self.back_end.is_running()?, "the back end has ended");
        Ok(report)
    }

    /// Waits until its front end is gone, and returns what it has done until then.
    pub(super) fn next_report(&mut self) -> Result<Report> {
        let mut report = Report::default();
        for _ in 0..self.pairs {
            let line = self.back_end.next_line()?;
            let pair = Report::parse(&line).with_context(|| format!("the back end says {line:?}"))?;
            report.add(&pair);
        }
        Ok(report)
    }

    /// Returns what it has of the system when nobody uses it.
    pub(super) fn at_rest(&mut self) -> Result<Resources> {
        let resources = self.back_end.at_rest()?;
        // Whoever asked for that was a front end, and has gone.
        self.next_report()?;
        Ok(resources)
    }

    /// Waits until it has no more of the system than it had before.
    pub(super) fn comes_to(&mut self, before: &Resources) -> Result<()> {
        let began = Instant::now();
        loop {
            let now = self.at_rest()?;
            if now == *before {
                return Ok(());
            }
            // A thread that has ended, and was waited for, can still be seen for a moment.
            ensure!(began.elapsed() < PATIENCE, "the back end has {now:?} rather than {before:?}");
        }
    }

    /// Asks what it has done until that is `enough`, without an error.
    pub(super) fn wait_for(&mut self, enough: impl Fn(&Report) -> bool) -> Result<Report> {
        let began = Instant::now();
        loop {
            let report = self.report()?;
            ensure!(report.transmitted.errors == 0 && report.received.errors == 0, "there were errors: {report:?}");
            if enough(&report) {
                return Ok(report);
            }
            if began.elapsed() > PATIENCE {
                bail!("the back end has come to a halt: {report:?}");
            }
        }
    }
}
