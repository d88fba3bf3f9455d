//! The moments at which a back end has a request in its hands.
//!
//! What is killed at any moment has nothing in its hands nearly always: an emulated guest is slow, and a request from
//! the page cache takes microseconds. So a back end is frozen again and again, until a thread of it was in the middle
//! of a request.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::{Rng, RngExt};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::BackEnd;
use crate::output::PATIENCE;

/// The system calls that are made for a request alone, by their numbers on the host's architecture: `pread64`,
/// `pwrite64`, `fsync`, `fdatasync`, `fallocate`, `preadv`, `pwritev`, `preadv2`, `pwritev2` and `io_uring_enter`.
/// After the last one, the kernel has requests, or some are to be answered.
const FOR_REQUESTS: [&str; 10] = ["17", "18", "74", "75", "285", "295", "296", "327", "328", "426"];

/// How long a back end goes on before it is frozen again, at most.
const STEP: Duration = Duration::from_millis(10);

impl BackEnd {
    /// Kills it while it has a request in its hands, and leaves behind what it leaves behind.
    ///
    /// # Errors
    ///
    /// If it has no request in its hands when it is frozen, as often as that is tried.
    pub(crate) fn kill_at_work(self, moments: &mut impl Rng) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            thread::sleep(moments.random_range(Duration::ZERO..STEP));
            self.freeze()?;
            if self.is_at_work()? {
                break;
            }
            ensure!(Instant::now() < deadline, "the back end has no request in its hands within {PATIENCE:?}");
            kill_process(Pid::from_child(&self.child), Signal::CONT)?;
        }
        self.kill();
        Ok(())
    }

    /// Stops all its threads, each of which comes to the end of its system call before that.
    fn freeze(&self) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::STOP)?;
        let (_, status) = waitpid(Some(pid), WaitOptions::UNTRACED)?.context("it was waited for")?;
        ensure!(status.stopped(), "the back end has ended: {status:?}");
        Ok(())
    }

    /// Returns whether a thread has just come from a system call for a request, which is not answered yet.
    fn is_at_work(&self) -> Result<bool> {
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let syscall = fs::read_to_string(thread?.path().join("syscall"))?;
            if FOR_REQUESTS.contains(&syscall.split(' ').next().unwrap_or_default()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
