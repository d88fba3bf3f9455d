//! The devices: contenders that do the same work on the same rings, each as its documentation shows.
//!
//! The work, for each chain: fetch it; translate all of its descriptors to pointers, and add up these pointers and
//! lengths; use it, with the length of the last descriptor as what was written. For each burst: publish, find out
//! whether the driver wants to be notified, and if so count a signal.

pub(crate) mod memcpy;
pub(crate) mod ours;
pub(crate) mod peer;
pub(crate) mod raw;

use super::ring::{Addresses, Plan, Reports, Ring, rings};
use super::shape::{Format, Shape};

/// The other side of a ring.
pub(crate) trait Device {
    /// Serves all chains that are available, in bursts, and returns what `counted` makes of their descriptors.
    ///
    /// # Errors
    ///
    /// If there are not as many, or one of them is malformed.
    fn serve(&mut self) -> anyhow::Result<u64>;

    /// Returns how often the driver would have been notified since the beginning.
    fn signals(&self) -> u64;

    /// Does what has to be done before [`serve`](Self::serve) and is not timed.
    ///
    /// # Errors
    ///
    /// As for serving.
    fn prepare(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Does what has to be done after [`serve`](Self::serve) and is not timed.
    ///
    /// # Errors
    ///
    /// As for serving.
    fn finish(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// What is said if a chain is not there that should be.
const MISSING: &str = "nothing is available";

/// One who takes part.
#[derive(Clone, Copy)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) format: Format,
    pub(crate) addresses: Addresses,
    pub(crate) reports: Reports,
    pub(crate) device: fn(&Ring) -> Box<dyn Device>,
}

impl Contender {
    /// Returns one that is told the driver's addresses, and says of each chain that it was used.
    pub(crate) const fn new(name: &'static str, format: Format, device: fn(&Ring) -> Box<dyn Device>) -> Self {
        Self { name, format, addresses: Addresses::Driver, reports: Reports::Each, device }
    }
    /// Returns the rings for it, of this shape.
    pub(crate) fn rings(&self, shape: Shape) -> Vec<Ring> {
        rings(Plan { format: self.format, addresses: self.addresses, reports: self.reports, shape })
    }
}
