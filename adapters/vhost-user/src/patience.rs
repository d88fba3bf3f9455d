//! How long the main thread waits for a device.

use core::time::Duration;
use std::io::{self, ErrorKind};
use std::time::Instant;

use crate::socket::Socket;

/// How long a device can take for a request before its front end loses it.
const REQUEST: Duration = Duration::from_secs(10);

/// A bound for waiting: a point in time, or the end of the program.
#[derive(Debug)]
pub(crate) struct Patience<'s> {
    until: Instant,
    end: &'s Socket,
}

impl<'s> Patience<'s> {
    /// Begins to wait for what a device has begun.
    pub(crate) fn new(end: &'s Socket) -> Self {
        Self { until: Instant::now() + REQUEST, end }
    }

    /// Checks that it is worth waiting on.
    ///
    /// # Errors
    ///
    /// If it is not, because of `what`.
    pub(crate) fn check(&self, what: &str) -> io::Result<()> {
        if self.end.is_stopped() {
            return Err(io::Error::new(ErrorKind::Interrupted, "the program ends"));
        }
        if Instant::now() < self.until {
            return Ok(());
        }
        Err(io::Error::new(ErrorKind::TimedOut, format!("{what} after {} s", REQUEST.as_secs())))
    }
}
