//! Driver and device on two threads, which do nothing but look whether the other one has done something.

mod buffer;
mod device;
mod driver;

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use self::buffer::BURST;
use self::driver::DriverSide;
use self::driver::packed::PackedSide;
use self::driver::split::SplitSide;
use super::clock::timed;
use super::device::Contender;
use super::device::ours::{PACKED, SPLIT};
use super::device::raw::packed::RAW_PACKED;
use super::device::raw::split::RAW_SPLIT;
use super::ring::Ring;
use super::shape::Shape;

/// How long the driver waits for a device that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// One who takes part, together with the driver for its format.
pub(crate) struct Pair {
    pub(crate) name: &'static str,
    measure: fn([usize; 2], &Effort) -> Result<Measured>,
}

/// All pairs.
pub(crate) const PAIRS: [Pair; 4] = [
    Pair { name: SPLIT.name, measure: |cores, effort| measure::<SplitSide>(&SPLIT, device::split, cores, effort) },
    Pair { name: PACKED.name, measure: |cores, effort| measure::<PackedSide>(&PACKED, device::packed, cores, effort) },
    Pair {
        name: RAW_SPLIT.name,
        measure: |cores, effort| measure::<SplitSide>(&RAW_SPLIT, device::raw_split, cores, effort),
    },
    Pair {
        name: RAW_PACKED.name,
        measure: |cores, effort| measure::<PackedSide>(&RAW_PACKED, device::raw_packed, cores, effort),
    },
];

impl Pair {
    /// Lets the driver run on the first of two cores and the device on the second.
    ///
    /// # Errors
    ///
    /// If one of them does what it should not do, or cannot be bound to its core.
    pub(crate) fn measure(&self, cores: [usize; 2], effort: &Effort) -> Result<Measured> {
        (self.measure)(cores, effort).with_context(|| self.name)
    }
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// For how long chains go through as fast as they can.
    pub(crate) throughput: Duration,
    /// For how long they go through one by one.
    pub(crate) latency: Duration,
}

/// What one run has shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) chains_per_second: f64,
    /// Of the round trips, in nanoseconds.
    pub(crate) median: f64,
    pub(crate) p99: f64,
}

/// Returns two cores that this process may use.
///
/// # Errors
///
/// If there are not as many.
pub(crate) fn two_cores() -> Result<[usize; 2]> {
    let allowed = sched_getaffinity(None).context("cannot find out which cores may be used")?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    cores.next().zip(cores.next()).map(|(one, other)| [one, other]).context("two cores are needed, and there is one")
}

fn bind_to(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).with_context(|| format!("cannot bind a thread to core {core}"))
}

fn measure<D: DriverSide>(
    contender: &Contender,
    poll: fn(&Ring, &AtomicBool) -> Result<()>,
    [driver_core, device_core]: [usize; 2],
    effort: &Effort,
) -> Result<Measured> {
    let shape = Shape { event_idx: false, burst: BURST, ..Shape::BASE };
    let ring = contender.rings(shape).swap_remove(0);
    // SAFETY: (1) `ring` outlives the driver; (2) there is one driver.
    let mut driver = unsafe { D::new(&ring) };
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        let device = scope.spawn(|| bind_to(device_core).and_then(|()| poll(&ring, &end)));
        let driven = bind_to(driver_core).and_then(|()| drive(&mut driver, effort));
        end.store(true, Ordering::Release);
        device.join().map_err(|_| anyhow!("the device panicked"))?.context("the device failed")?;
        driven
    })
}

/// Does all of one run, as the driver.
fn drive(driver: &mut impl DriverSide, effort: &Effort) -> Result<Measured> {
    throughput(driver, effort.throughput / 10)?;
    let window = throughput(driver, effort.throughput)?;
    let start = Instant::now();
    let mut trips = Vec::new();
    while trips.is_empty() || start.elapsed() < effort.latency {
        trips.push(round_trip(driver)?);
    }
    let (median, p99) = (percentile(&mut trips, 50), percentile(&mut trips, 99));
    let chains_per_second = f64::from(WINDOW) / window.as_secs_f64();
    Ok(Measured { chains_per_second, median: nanoseconds(median), p99: nanoseconds(p99) })
}

#[expect(clippy::cast_precision_loss, reason = "it is far from 2^53")]
fn nanoseconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}

fn percentile(durations: &mut [Duration], percent: usize) -> Duration {
    let index = (durations.len() - 1) * percent / 100;
    *durations.select_nth_unstable(index).1
}

/// Keeps the queue full for as long, and returns in which time [`WINDOW`] chains came back.
///
/// That is the median of many such times: they are so short that others who use the machine interrupt few of them.
fn throughput(driver: &mut impl DriverSide, duration: Duration) -> Result<Duration> {
    let (mut free, mut windows, mut patience) = (Shape::BASE.queue_size, Vec::new(), Patience::default());
    let start = Instant::now();
    while windows.is_empty() || start.elapsed() < duration {
        let begin = Instant::now();
        let mut missing = WINDOW;
        while missing > 0 {
            if free >= BURST {
                driver.add(BURST);
                free -= BURST;
            }
            let taken = driver.take(missing)?;
            patience.after(taken)?;
            free += taken;
            missing -= taken;
        }
        windows.push(begin.elapsed());
    }
    wait_for(driver, Shape::BASE.queue_size - free)?;
    Ok(percentile(&mut windows, 50))
}

/// How many chains are timed together: many bursts.
const WINDOW: u16 = 4096;

/// Sends one chain, and returns how long it took to come back.
fn round_trip(driver: &mut impl DriverSide) -> Result<Duration> {
    let (result, elapsed) = timed(|| {
        driver.add(1);
        wait_for(driver, 1)
    });
    result.map(|()| elapsed)
}

/// Takes back as many chains.
fn wait_for(driver: &mut impl DriverSide, chains: u16) -> Result<()> {
    let (mut missing, mut patience) = (chains, Patience::default());
    while missing > 0 {
        let taken = driver.take(missing)?;
        patience.after(taken)?;
        missing -= taken;
    }
    Ok(())
}

/// The driver's, with a device that does not answer.
#[derive(Default)]
struct Patience {
    /// How often the driver has looked in vain, and since when.
    looks: u32,
    since: Option<Instant>,
}

impl Patience {
    /// Takes note of a look that found as many chains.
    #[inline]
    fn after(&mut self, taken: u16) -> Result<()> {
        if taken > 0 {
            *self = Self::default();
            return Ok(());
        }
        spin_loop();
        self.looks += 1;
        // The clock takes longer than the look.
        if self.looks.is_multiple_of(0x1_0000) {
            let since = self.since.get_or_insert_with(Instant::now);
            ensure!(since.elapsed() < PATIENCE, "the device does not answer");
        }
        Ok(())
    }
}
