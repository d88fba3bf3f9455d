//! The host's end of one TCP flow, and how fast that is.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::guest::PATIENCE;

/// How long bytes are counted, and how long they are not before that. Meanwhile, QEMU translates the guest's code, and
/// the windows of the two ends grow.
const TIME: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_secs(1);

/// How many bytes are sent or received at a time, at most.
const CHUNK: usize = 256 << 10;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    FromGuest,
    ToGuest,
}

impl Direction {
    /// Both of them, in the order in which the guest has them.
    pub(super) const BOTH: [Self; 2] = [Self::FromGuest, Self::ToGuest];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::FromGuest => "from the guest",
            Self::ToGuest => "to the guest",
        }
    }
}

/// What a flow has shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speed {
    pub(super) bytes_per_second: f64,
    /// How long processors were used for each KiB, in nanoseconds.
    pub(super) processor_time: f64,
}

/// A connection.
pub(super) struct Flow {
    connection: TcpStream,
    direction: Direction,
    chunk: Vec<u8>,
}

impl Flow {
    /// Waits until the guest opens a connection.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub(super) fn accept(listener: &TcpListener, direction: Direction) -> Result<Self> {
        let patience = Timespec::try_from(PATIENCE)?;
        let there = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&patience))?;
        ensure!(there == 1, "the guest opens no connection");
        let (connection, _) = listener.accept()?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { connection, direction, chunk: vec![0; CHUNK] })
    }

    /// Sends or receives for some time, and ends the connection. `used` says how long processors were used until now.
    ///
    /// # Errors
    ///
    /// If nothing is sent or received.
    #[expect(clippy::cast_precision_loss, reason = "there are not that many bytes")]
    pub(super) fn measure(mut self, used: impl Fn() -> Result<Duration>) -> Result<Speed> {
        self.go_on_for(WARM_UP)?;
        let before = used()?;
        let (bytes, took) = self.go_on_for(TIME)?;
        let (bytes, used) = (bytes as f64, used()?.saturating_sub(before));
        Ok(Speed {
            bytes_per_second: bytes / took.as_secs_f64(),
            processor_time: 1024.0 * used.as_nanos() as f64 / bytes,
        })
    }

    /// Returns how many bytes there were, and how long that took.
    fn go_on_for(&mut self, time: Duration) -> Result<(usize, Duration)> {
        let (began, mut bytes) = (Instant::now(), 0);
        while began.elapsed() < time {
            bytes += self.go_on()?;
        }
        Ok((bytes, began.elapsed()))
    }

    fn go_on(&mut self) -> Result<usize> {
        let len = match self.direction {
            Direction::FromGuest => self.connection.read(&mut self.chunk),
            Direction::ToGuest => self.connection.write(&self.chunk),
        };
        let len = len.with_context(|| format!("the flow {}", self.direction.name()))?;
        ensure!(len > 0, "the guest has ended the flow {}", self.direction.name());
        Ok(len)
    }
}
