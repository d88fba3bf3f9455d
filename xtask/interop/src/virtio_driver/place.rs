//! What all measurements of disks have in common: where and how long they run, and the requests.

use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use rustix::thread::{CpuSet, sched_setaffinity};

/// How long requests are counted in each, and how long they are not before that.
pub(super) const TIME: Duration = Duration::from_millis(500);
pub(super) const WARM_UP: Duration = Duration::from_millis(100);

pub(super) const REQUEST_LEN: usize = 4096;
/// Room for 128 requests of three descriptors each.
pub(super) const QUEUE_SIZE: u16 = 512;

/// Does `work` on a thread of its own, which stays on that processor.
pub(super) fn on_processor<T: Send>(processor: usize, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let pinned = || {
        let mut processors = CpuSet::new();
        processors.set(processor);
        sched_setaffinity(None, &processors)?;
        work()
    };
    thread::scope(|scope| scope.spawn(pinned).join())
        .map_err(|_| anyhow!("a thread of the measurement has panicked"))?
}

/// Returns the processor of the drivers: the last.
pub(super) fn driver_processor() -> Result<usize> {
    Ok(thread::available_parallelism()?.get() - 1)
}
