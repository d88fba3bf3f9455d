//! The harness: driver and device in turn.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};

use super::clock::timed;
use super::device::{Contender, Device};
use super::driver::Driver;
use super::driver::packed::PackedDriver;
use super::driver::split::SplitDriver;
use super::ring::{Ring, Used};
use super::shape::{Direction, Format, Payload, Shape};

/// One contender at one shape.
///
/// A pass has three parts, of which the second is timed. The driver makes chains available in as many rings as it
/// takes; the device serves these rings, one after the other; the driver takes the chains back, and checks how many
/// were used, which, with which lengths, what the device has seen or written, and how often it would have notified the
/// driver.
///
/// A pass takes microseconds, so that others who use the machine interrupt only a few of thousands. What counts of them
/// is the median, which such interruptions do not move. No device here does in one pass what it saves in another.
pub(crate) struct Bench {
    name: String,
    lanes: Vec<Lane>,
    /// How long the passes of the last run took.
    passes: Vec<Duration>,
}

impl Bench {
    /// Prepares the benchmark `name`.
    pub(crate) fn new(name: String, contender: &Contender, shape: Shape) -> Self {
        let lanes = contender.rings(shape).into_iter().map(|ring| Lane::new(contender, ring));
        Self { name, lanes: lanes.collect(), passes: Vec::new() }
    }

    /// Returns how many chains there are in a pass.
    pub(crate) fn chains(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.expected.len() as u64).sum()
    }

    /// Makes at least as many chains go through, and returns how long that takes for exactly so many.
    pub(crate) fn run(&mut self, chains: u64) -> Duration {
        self.passes.clear();
        for _ in 0..chains.div_ceil(self.chains()) {
            let elapsed = self.pass(|lanes| timed(|| serve(lanes)));
            self.passes.push(elapsed);
        }
        let middle = self.passes.len() / 2;
        let (_, median, _) = self.passes.select_nth_unstable(middle);
        #[expect(clippy::cast_precision_loss, reason = "neither number is anywhere near 2^53")]
        median.mul_f64(chains as f64 / self.chains() as f64)
    }

    /// Makes one pass, in which `work` lets the device [serve], and returns what that says beside how it went.
    pub(crate) fn pass<T>(&mut self, work: impl FnOnce(&mut [Lane]) -> (Result<()>, T)) -> T {
        let Self { name, lanes, .. } = self;
        let prepared = lanes.iter_mut().try_for_each(Lane::prepare);
        let (served, result) = work(lanes);
        let checked = prepared.and(served).and_then(|()| lanes.iter_mut().try_for_each(Lane::check));
        if let Err(error) = checked {
            panic!("{name}: {error:#}");
        }
        result
    }
}

/// Lets the devices serve their rings, which is what is timed.
pub(crate) fn serve(lanes: &mut [Lane]) -> Result<()> {
    for lane in lanes {
        lane.sum = lane.device.serve()?;
    }
    Ok(())
}

/// One ring, with both of its sides, and what they have to agree on.
pub(crate) struct Lane {
    ring: Rc<Ring>,
    driver: Box<dyn Driver>,
    device: Box<dyn Device>,
    expected: Vec<Used>,
    used: Vec<Used>,
    expected_sum: u64,
    sum: u64,
    signals: u64,
}

impl Lane {
    fn new(contender: &Contender, ring: Ring) -> Self {
        let ring = Rc::new(ring);
        let (driver, device) = (driver(&ring), (contender.device)(&ring));
        let (expected, expected_sum) = (ring.used(), ring.sum());
        ring.put_payloads();
        Self { ring, driver, device, expected, used: Vec::new(), expected_sum, sum: 0, signals: 0 }
    }

    fn writes_payload(&self) -> bool {
        matches!(self.ring.shape.payload, Some(Payload { direction: Direction::Write, .. }))
    }

    fn prepare(&mut self) -> Result<()> {
        if self.writes_payload() {
            self.ring.put_payloads();
        }
        self.driver.refill();
        self.device.prepare()
    }

    fn check(&mut self) -> Result<()> {
        self.device.finish()?;
        self.used.clear();
        self.driver.take_back(&mut self.used).map_err(|error| anyhow!(error))?;
        if self.ring.shape.threads > 1 {
            // Nobody knows which thread is faster.
            self.used.sort_unstable();
        }
        let differs = self.used.iter().zip(&self.expected).find(|(used, expected)| used != expected);
        ensure!(differs.is_none() && self.used.len() == self.expected.len(), "used and expected: {differs:?}");
        let (sum, expected) = (self.sum, self.expected_sum);
        ensure!(sum == expected, "the device saw {sum:#x} instead of {expected:#x}");
        let signals = self.device.signals() - core::mem::replace(&mut self.signals, self.device.signals());
        ensure!(signals == self.ring.signals(), "{signals} signals instead of {}", self.ring.signals());
        if self.writes_payload() {
            let (written, chains) = (self.ring.written_payloads(), self.ring.shape.chains());
            ensure!(written == chains, "the payloads of {written} of {chains} chains are there");
        }
        Ok(())
    }
}

/// Returns a driver for the ring.
fn driver(ring: &Rc<Ring>) -> Box<dyn Driver> {
    match ring.format {
        Format::Split => Box::new(SplitDriver::new(Rc::clone(ring))),
        Format::Packed => Box::new(PackedDriver::new(Rc::clone(ring))),
    }
}
