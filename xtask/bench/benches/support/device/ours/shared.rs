//! A queue that is shared by threads.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use anyhow::{Result, anyhow};
use virtio_queue_core::{Chain, FromConfig, Queue};
use virtio_util::{SharedQueue, SharedRing};

use super::parts::{Signals, config, walk};
use crate::support::device::Device;
use crate::support::memory::Table;
use crate::support::ring::Ring;

/// A device with threads that fetch and return chains, each for itself, until nothing is available any more. One of
/// them is the thread that serves; the others wait for it, awake, as the chains of a pass are soon gone.
pub(super) struct Shared<R: FromConfig + SharedRing> {
    team: Arc<Team<R>>,
    helpers: Vec<JoinHandle<()>>,
    round: usize,
    signals: Signals,
}

/// What the threads have in common.
struct Team<R: FromConfig + SharedRing> {
    queue: SharedQueue<R, Signals>,
    /// How many rounds have begun, and in how many of them a helper has finished, all helpers together.
    begun: AtomicUsize,
    finished: AtomicUsize,
    results: Mutex<Vec<Result<u64>>>,
}

/// The round in which the helpers end.
const LAST: usize = usize::MAX;

impl<R: FromConfig<Mem = Table> + SharedRing> Shared<R> {
    pub(super) fn new(ring: &Ring) -> Self {
        let signals = Signals::default();
        let queue = Queue::new(&config(ring), ring.memory.table(), signals.clone()).expect("the ring is valid");
        let team = Arc::new(Team {
            queue: SharedQueue::new(queue),
            begun: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            results: Mutex::new(Vec::new()),
        });
        let helper = |_| {
            let team = Arc::clone(&team);
            thread::spawn(move || team.help())
        };
        Self { helpers: (1..ring.shape.threads).map(helper).collect(), team, round: 0, signals }
    }
}

impl<R: FromConfig + SharedRing> Team<R> {
    /// Serves until nothing is available.
    fn drain(&self) -> Result<u64> {
        let mut sum = 0_u64;
        while let Some(chain) = self.queue.next_chain()? {
            let (added, written) = walk(chain.walk(), chain.mem())?;
            sum = sum.wrapping_add(added);
            chain.return_unchecked(written).map_err(|refused| refused.error)?;
        }
        Ok(sum)
    }

    /// Serves in every round but the last.
    fn help(&self) {
        let mut round = 0;
        loop {
            // Acquire: the driver has refilled the ring before.
            wait_until(|| self.begun.load(Ordering::Acquire) != round);
            if self.begun.load(Ordering::Relaxed) == LAST {
                return;
            }
            round += 1;
            let result = self.drain();
            self.results.lock().expect("no helper panics").push(result);
            // Release: the chains were returned before.
            self.finished.fetch_add(1, Ordering::Release);
        }
    }
}

/// Waits for the other side, and lets others run if that takes long.
fn wait_until(condition: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        spin_loop();
    }
    while !condition() {
        thread::yield_now();
    }
}

impl<R: FromConfig + SharedRing> Device for Shared<R> {
    fn serve(&mut self) -> Result<u64> {
        let team = &self.team;
        self.round += 1;
        team.begun.store(self.round, Ordering::Release);
        let mut sum = team.drain()?;
        wait_until(|| team.finished.load(Ordering::Acquire) == self.round * self.helpers.len());
        for result in team.results.lock().map_err(|_| anyhow!("a helper panicked"))?.drain(..) {
            sum = sum.wrapping_add(result?);
        }
        Ok(sum)
    }

    fn signals(&self) -> u64 {
        self.signals.count()
    }
}

impl<R: FromConfig + SharedRing> Drop for Shared<R> {
    fn drop(&mut self) {
        self.team.begun.store(LAST, Ordering::Release);
        for helper in self.helpers.drain(..) {
            helper.join().expect("no helper panics");
        }
    }
}
