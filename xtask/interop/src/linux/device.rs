//! What is done with a device in a guest, whichever it is.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::case::Case;
use super::guest::Guest;
use super::system::System;
use crate::back_end::BackEnd;

/// How often a guest is killed.
const KILLS: usize = 10;

/// A way in which a back end does its work.
pub(super) struct Way {
    /// What is said of it in the table, after the other things.
    pub(super) about: &'static str,
    pub(super) args: &'static [&'static str],
}

/// A device of the guest, with what is behind it on the host.
pub(super) trait GuestDevice: Sized {
    /// The program that serves it.
    const PROGRAM: &'static str;
    /// The task of a guest that uses it.
    const TASK: &'static str;
    /// The task of a guest that says that it is busy with it, and remains so until it is killed.
    const BUSY_TASK: &'static str;
    /// How many queues there may be, or pairs of queues.
    const QUEUES: u16;
    /// The feature of more than one queue.
    const MULTI_QUEUE: u64;
    /// The ways in which a back end can do its work: what they are called, and what it is told. Cases take turns.
    const WAYS: &'static [Way] = &[Way { about: "", args: &[] }];
    /// Those of the ways in which guests are killed.
    const WAYS_TO_BE_KILLED: &'static [Way] = Self::WAYS;

    /// Makes what is behind the device.
    fn new() -> Result<Self>;

    /// Starts a back end with so many queues.
    fn start(&self, program: &Path, queues: u16, way: &Way) -> Result<BackEnd>;

    /// Boots a guest.
    fn boot(&self, system: &System, case: &Case, back_end: &BackEnd, task: &str) -> Result<Guest>;

    /// Takes part in what the guest does, from when its driver is loaded to when the device is not used any more.
    ///
    /// # Errors
    ///
    /// If guest and host do not see the same.
    fn take_part(&mut self, guest: &mut Guest) -> Result<()>;

    /// Looks at what a back end says of its one guest, which is gone, if it says anything.
    ///
    /// # Errors
    ///
    /// If it should have said something else.
    fn check_report(&self, _back_end: &mut BackEnd, _queues: u16, _way: &Way) -> Result<()> {
        Ok(())
    }

    /// Boots a guest that uses the device, and returns the number of requests that it made.
    ///
    /// # Errors
    ///
    /// If it does not get on with the device, or not as the case wants it.
    fn serve(&mut self, system: &System, case: &Case, back_end: &mut BackEnd) -> Result<u64> {
        let mut guest = self.boot(system, case, back_end, Self::TASK)?;
        guest.said_features(case, Self::MULTI_QUEUE)?;
        self.take_part(&mut guest)?;
        let queues = guest.said_number("queues")?;
        ensure!(queues == u64::from(case.queues), "{queues} of {} queues were used", case.queues);
        let requests = guest.said_number("requests")?;
        guest.end()?;
        ensure!(back_end.is_running()?, "the back end has ended");
        Ok(requests)
    }

    /// Boots two guests, one after the other, each with a back end that is killed afterwards.
    ///
    /// # Errors
    ///
    /// As for [`serve`](Self::serve).
    fn run(system: &System, program: &Path, case: &Case, way: &Way) -> Result<u64> {
        let mut device = Self::new()?;
        let mut requests = 0;
        for _ in 0..2 {
            let mut back_end = device.start(program, case.queues, way)?;
            requests += device.serve(system, case, &mut back_end)?;
            device.check_report(&mut back_end, case.queues, way)?;
        }
        Ok(requests)
    }

    /// Kills guests that are busy, and boots one more that is not killed. All have the same back end.
    ///
    /// # Errors
    ///
    /// As for [`serve`](Self::serve), or if the back end still has anything of a guest that is gone.
    fn run_killed(system: &System, program: &Path, cases: &[Case], way: &Way) -> Result<u64> {
        let last = cases.last().context("there are cases")?;
        let mut device = Self::new()?;
        let mut back_end = device.start(program, last.queues, way)?;
        let at_rest = back_end.at_rest()?;
        for (kill, case) in cases.iter().cycle().take(KILLS).enumerate() {
            let mut guest = device.boot(system, case, &back_end, Self::BUSY_TASK)?;
            guest.said_features(case, Self::MULTI_QUEUE)?;
            guest.said("busy")?;
            ensure!(back_end.resources()? != at_rest, "the back end needs nothing for a guest");
            drop(guest);
            back_end.comes_to(&at_rest).with_context(|| format!("after kill {}", kill + 1))?;
        }
        device.serve(system, last, &mut back_end)
    }
}
