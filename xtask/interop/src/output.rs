//! What another program says.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long a program may take to say anything that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The output of a program, read as far as it is waited for.
pub(crate) struct Output {
    pipe: File,
    /// What was read and not asked for yet.
    ahead: Vec<u8>,
}

impl Output {
    /// Reads from the end of a pipe.
    pub(crate) fn new(pipe: impl Into<OwnedFd>) -> Self {
        Self { pipe: File::from(pipe.into()), ahead: Vec::new() }
    }

    /// Waits for `end`, and returns all that comes before it.
    ///
    /// # Errors
    ///
    /// If it does not come. What came instead is in the error.
    pub(crate) fn until(&mut self, end: &str) -> Result<String> {
        self.until_deadline(end, Instant::now() + PATIENCE)
    }

    /// As [`until`](Self::until), with more or less patience.
    pub(crate) fn until_deadline(&mut self, end: &str, deadline: Instant) -> Result<String> {
        loop {
            if let Some(at) = self.ahead.windows(end.len()).position(|window| window == end.as_bytes()) {
                let rest = self.ahead.split_off(at + end.len());
                let said = std::mem::replace(&mut self.ahead, rest);
                let (said, _) = said.split_at(at);
                return Ok(String::from_utf8_lossy(said).into_owned());
            }
            ensure!(self.more(deadline)?, "it ended after saying: {}", self.tail());
        }
    }

    /// Waits for the end of it all.
    ///
    /// # Errors
    ///
    /// If that does not come.
    pub(crate) fn finish(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.more(deadline)? {}
        Ok(())
    }

    /// Reads more, and returns whether there was more.
    fn more(&mut self, deadline: Instant) -> Result<bool> {
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now()))?;
        if poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], Some(&left))? == 0 {
            bail!("it says nothing any more after: {}", self.tail());
        }
        let mut bytes = [0; 4096];
        let len = self.pipe.read(&mut bytes)?;
        self.ahead.extend(bytes.iter().take(len));
        Ok(len > 0)
    }

    /// Returns the last lines of what came.
    pub(crate) fn tail(&self) -> String {
        let said = String::from_utf8_lossy(&self.ahead);
        let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.get(lines.len().saturating_sub(4)..).unwrap_or_default().join(" | ")
    }
}
