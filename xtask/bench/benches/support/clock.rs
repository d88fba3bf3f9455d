//! The clock.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How often the cost of the clock is measured.
const CALIBRATIONS: usize = 10_001;

/// Returns what `work` returns, and how long it took.
///
/// The clock costs some tens of nanoseconds itself. That is measured once for each process, as the median of many pairs
/// of readings with nothing in between, and subtracted.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let cost = cost();
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().saturating_sub(cost))
}

fn cost() -> Duration {
    static COST: OnceLock<Duration> = OnceLock::new();
    *COST.get_or_init(|| {
        let mut costs: Vec<_> = (0..CALIBRATIONS).map(|_| Instant::now().elapsed()).collect();
        *costs.select_nth_unstable(CALIBRATIONS / 2).1
    })
}
