//! What people are told.
//!
//! Whoever reads the standard error may have stopped reading, and a front end may have a lot to be told about. So lines
//! are written by a thread that does nothing else, and there are not more of them than a person can read.

use core::fmt;
use core::time::Duration;
use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

/// How many lines can wait for the one who reads them.
const WAITING: usize = 64;

/// How many lines can come at a time on the standard error, and how long it takes until there can be one more.
const BURST: u32 = 32;
const INTERVAL: Duration = Duration::from_millis(250);

/// How long the end of the program is put off for what is still to be written.
const PATIENCE: Duration = Duration::from_millis(500);

/// Writes a line to the standard error, unless there have been too many of late, or nobody reads them.
///
/// The caller never waits. [`run`](crate::run) puts off the end of the program until the lines are written.
///
/// ```
/// virtio_vhost_user::report(format_args!("the medium has {} bad sectors", 3));
/// ```
pub fn report(line: fmt::Arguments<'_>) {
    let admitted = limit().admit(Instant::now());
    match admitted {
        Some(0) => send(Line::Error(line.to_string())),
        Some(left_out) => send(Line::Error(format!("{left_out} lines were left out\n{line}"))),
        None => {}
    }
}

/// Writes lines to the standard output, unless nobody reads them.
pub(crate) fn say(lines: String) {
    if !lines.is_empty() {
        send(Line::Output(lines));
    }
}

/// Waits a little while until everything is written.
pub(crate) fn finish() {
    let (written, is_written) = mpsc::sync_channel(1);
    send(Line::End(written));
    let _ = is_written.recv_timeout(PATIENCE);
}

enum Line {
    Output(String),
    Error(String),
    End(SyncSender<()>),
}

/// Hands a line to the thread that writes. It is dropped if too many wait there, or if there can be no such thread.
fn send(line: Line) {
    static WRITER: OnceLock<Option<SyncSender<Line>>> = OnceLock::new();
    let writer = WRITER.get_or_init(|| {
        let (sender, lines) = mpsc::sync_channel(WAITING);
        thread::Builder::new().name("report".into()).spawn(move || write(&lines)).ok().map(|_| sender)
    });
    if let Some(Err(TrySendError::Full(Line::Error(_)))) = writer.as_ref().map(|writer| writer.try_send(line)) {
        limit().left_out += 1;
    }
}

/// Writes what it is handed.
fn write(lines: &Receiver<Line>) {
    for line in lines {
        // Nobody has to listen.
        match line {
            Line::Output(lines) => drop(writeln!(io::stdout(), "{lines}")),
            Line::Error(line) => drop(writeln!(io::stderr(), "{line}")),
            Line::End(written) => drop(written.try_send(())),
        }
    }
}

/// How many lines there can be.
struct Limit {
    /// How many there can be at once, and since when.
    left: u32,
    since: Option<Instant>,
    left_out: u32,
}

impl Limit {
    const NEW: Self = Self { left: BURST, since: None, left_out: 0 };

    /// Returns how many lines were left out before this one, unless it is to be left out itself.
    fn admit(&mut self, now: Instant) -> Option<u32> {
        let since = *self.since.get_or_insert(now);
        let more = now.saturating_duration_since(since).as_millis() / INTERVAL.as_millis();
        if more > 0 {
            self.left = u32::try_from(more).unwrap_or(BURST).saturating_add(self.left).min(BURST);
            self.since = Some(now);
        }
        let Some(left) = self.left.checked_sub(1) else {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        };
        self.left = left;
        Some(core::mem::take(&mut self.left_out))
    }
}

fn limit() -> MutexGuard<'static, Limit> {
    static LIMIT: Mutex<Limit> = Mutex::new(Limit::NEW);
    LIMIT.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_limit_are_left_out_and_counted() {
        let (mut limit, now) = (Limit::NEW, Instant::now());
        assert!((0..BURST).all(|_| limit.admit(now) == Some(0)));
        assert!((0..7).all(|_| limit.admit(now).is_none()));
        let later = now + INTERVAL;
        assert_eq!(limit.admit(later), Some(7));
        assert_eq!(limit.admit(later), None);
        let much_later = later + 1000 * INTERVAL;
        assert_eq!(limit.admit(much_later), Some(1));
        assert!((1..BURST).all(|_| limit.admit(much_later) == Some(0)));
        assert_eq!(limit.admit(much_later), None);
    }
}
