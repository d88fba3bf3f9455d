//! What two cores do together: the driver on one, the device on the other, both awake all the time.
//!
//! The driver keeps a queue of 256 full, with one buffer of 64 bytes in each chain. It makes 32 chains available at a
//! time, and takes them back as they come; the device serves what is there, at most 32 at a time, and writes a number
//! all over each buffer. Neither side wants notifications, but each asks whether the other does, as it has to. For the
//! latency, there is one chain at a time.
//!
//! The driver is the same for all devices of a format. It checks which chain came back, with which length, and what is
//! in it. The contenders take turns, so that what disturbs the machine disturbs all of them.
//!
//! One JSON document is printed: for each contender a throughput and a latency, each with the median of all runs, the
//! quartiles, and what every run has shown. With `XTASK_BENCH_QUICK=1` in the environment that takes less than ten
//! seconds. Without `--bench`, as `cargo test` starts it, it is over in a moment.

#![expect(
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    reason = "it runs where there is an operating system"
)]
#![expect(clippy::indexing_slicing, reason = "a benchmark that is wrong may panic")]

mod support;

use std::env;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use self::support::polling::{Effort, Measured, PAIRS, two_cores};

/// How often each contender has its turn, and for how many milliseconds.
struct Plan {
    turns: usize,
    effort: Effort,
}

const FULL: Plan = Plan::new(7, 400, 200);
const QUICK: Plan = Plan::new(3, 120, 40);
const TEST: Plan = Plan::new(1, 10, 10);

impl Plan {
    const fn new(turns: usize, throughput: u64, latency: u64) -> Self {
        let (throughput, latency) = (Duration::from_millis(throughput), Duration::from_millis(latency));
        Self { turns, effort: Effort { throughput, latency } }
    }
}

fn main() -> Result<()> {
    let quick = env::var_os("XTASK_BENCH_QUICK").is_some_and(|value| value == "1");
    let plan = match env::args().any(|arg| arg == "--bench") {
        true if quick => QUICK,
        true => FULL,
        false => TEST,
    };
    let cores = two_cores()?;
    let mut runs = vec![Vec::new(); PAIRS.len()];
    for _ in 0..plan.turns {
        for (pair, runs) in PAIRS.iter().zip(&mut runs) {
            runs.push(pair.measure(cores, &plan.effort)?);
        }
    }
    let figures: Vec<_> = PAIRS.iter().zip(&runs).flat_map(|(pair, runs)| figures(pair.name, runs)).collect();
    println!("{:#}", Value::from(figures));
    Ok(())
}

/// Returns what the runs of one contender come to.
fn figures(contender: &str, runs: &[Measured]) -> [Value; 2] {
    let throughput = figure(contender, "throughput", "chains/s", runs.iter().map(|run| run.chains_per_second));
    let mut latency = figure(contender, "latency", "ns", runs.iter().map(|run| run.median));
    latency["p99"] = quartiles(runs.iter().map(|run| run.p99).collect())[1].into();
    [throughput, latency]
}

fn figure(contender: &str, value: &str, unit: &str, samples: impl Iterator<Item = f64>) -> Value {
    let samples: Vec<_> = samples.collect();
    let [low, median, high] = quartiles(samples.clone());
    json!({
        "figure": "two-cores", "contender": contender, "value": value, "unit": unit,
        "median": median, "low": low, "high": high, "samples": samples,
    })
}

/// Returns the lower quartile, the median and the upper quartile.
fn quartiles(mut samples: Vec<f64>) -> [f64; 3] {
    samples.sort_unstable_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| samples[(samples.len() - 1) * quarter / 4])
}
