//! QEMU's monitor, in the protocol that is made for programs.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

/// How long QEMU may take for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection to the monitor of one QEMU.
pub(super) struct Monitor {
    stream: BufReader<UnixStream>,
    /// What has happened and was not asked for yet.
    events: Vec<Value>,
}

impl Monitor {
    /// Makes a socket at `path`, which QEMU is to connect to.
    pub(super) fn listen(path: &Path) -> Result<UnixListener> {
        // That of another QEMU before.
        let _ = std::fs::remove_file(path);
        UnixListener::bind(path).with_context(|| format!("cannot listen at {}", path.display()))
    }

    /// Waits until QEMU has connected.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub(super) fn accept(listener: &UnixListener) -> Result<Self> {
        let patience = Timespec::try_from(PATIENCE)?;
        let connecting = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&patience))?;
        ensure!(connecting == 1, "QEMU does not connect its monitor within {PATIENCE:?}");
        let (stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut monitor = Self { stream: BufReader::new(stream), events: Vec::new() };
        ensure!(monitor.next()?.get("QMP").is_some(), "QEMU's monitor does not greet");
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Executes a command, and returns its result.
    ///
    /// # Errors
    ///
    /// If QEMU refuses, with its reason.
    pub(super) fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        writeln!(self.stream.get_mut(), "{}", json!({ "execute": command, "arguments": arguments }))?;
        loop {
            let mut said = self.next().with_context(|| format!("QEMU does not answer '{command}'"))?;
            if let Some(result) = said.get_mut("return") {
                return Ok(result.take());
            }
            if let Some(error) = said.get("error") {
                bail!("QEMU refuses '{command}': {}", error.get("desc").unwrap_or(error));
            }
            self.events.push(said);
        }
    }

    /// Waits for one of these events about the device `id`, and returns which it is.
    ///
    /// # Errors
    ///
    /// If none comes.
    pub(super) fn event(&mut self, names: &[&'static str], id: &str) -> Result<&'static str> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let of_device = |event: &Value| event.pointer("/data/device").is_some_and(|device| device == id);
            for event in self.events.drain(..).filter(of_device) {
                if let Some(name) = names.iter().find(|name| event.get("event").is_some_and(|is| is == **name)) {
                    return Ok(name);
                }
            }
            ensure!(Instant::now() < deadline, "none of {names:?} happens to '{id}' within {PATIENCE:?}");
            let event = self.next().with_context(|| format!("none of {names:?} happens to '{id}'"))?;
            self.events.push(event);
        }
    }

    /// Returns what QEMU says next.
    fn next(&mut self) -> Result<Value> {
        let mut line = String::new();
        let len = self.stream.read_line(&mut line).context("QEMU's monitor says nothing")?;
        ensure!(len > 0, "QEMU's monitor is closed");
        Ok(serde_json::from_str(&line)?)
    }
}
