//! How long the main thread waits for a device.

use core::fmt::Display;
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::time::Instant;

use crate::socket::Socket;

/// How long a device can take for a request before its front end loses it.
const REQUEST: Duration = Duration::from_secs(10);

/// How long it can take when the program is to end.
const END: Duration = Duration::from_secs(1);

/// A bound for waiting, which is shorter when the program is to end.
#[derive(Debug)]
pub(crate) struct Patience<'s> {
    since: Instant,
    end: &'s Socket,
}

impl<'s> Patience<'s> {
    /// Begins to wait for what a device has begun.
    pub(crate) fn new(end: &'s Socket) -> Self {
        Self { since: Instant::now(), end }
    }

    /// Checks that it is worth waiting on.
    ///
    /// # Errors
    ///
    /// If it is not. The error says what `reason` returns.
    pub(crate) fn check<T: Display>(&self, reason: impl FnOnce() -> T) -> io::Result<()> {
        let bound = if self.end.is_stopped() { END } else { REQUEST };
        if self.since.elapsed() < bound {
            return Ok(());
        }
        Err(io::Error::new(ErrorKind::TimedOut, format!("gave up after {} s: {}", bound.as_secs(), reason())))
    }
}
