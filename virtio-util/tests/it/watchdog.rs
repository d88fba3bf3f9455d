//! A bound on how long a test takes.

use core::time::Duration;
use std::io::{self, Write};
use std::process;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

/// Far longer than any test takes on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(180);

/// Fails the test that makes it, if the test is not over in time: a wake-up was lost, and somebody waits for ever.
pub(crate) struct Watchdog {
    _over: mpsc::Sender<()>,
}

impl Watchdog {
    pub(crate) fn new() -> Self {
        let (over, test_is_over) = mpsc::channel::<()>();
        let test = thread::current().name().unwrap_or("a test").to_owned();
        thread::spawn(move || {
            if test_is_over.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
                // A thread that waits cannot be made to panic, so this is the end of all tests. What is printed in a
                // test is kept back until the test ends, so this is written past it.
                let _ = writeln!(io::stderr(), "{test} is not over after {LIMIT:?}: a wake-up was lost");
                process::exit(101);
            }
        });
        Self { _over: over }
    }
}
