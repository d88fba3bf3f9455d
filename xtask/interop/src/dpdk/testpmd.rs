//! DPDK's `testpmd`, which sends, receives and forwards packets, with somebody at its prompt.

use std::io::{self, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use super::super::output::{Output, PATIENCE};
use xtask_support::command;

const PROMPT: &str = "testpmd> ";

/// The package that brings it, with the drivers that it needs.
const PACKAGE: &str = "dpdk-dev";

/// A running testpmd.
pub(super) struct Testpmd {
    child: Child,
    stdin: ChildStdin,
    output: Output,
}

/// What a port has counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PortStats {
    pub(super) received: u64,
    pub(super) transmitted: u64,
    pub(super) transmitted_bytes: u64,
}

impl PortStats {
    /// Returns how many packets there were in both directions.
    pub(super) fn packets(&self) -> u64 {
        self.received + self.transmitted
    }
}

impl Testpmd {
    /// Checks that there is one.
    ///
    /// # Errors
    ///
    /// If there is none. The error says how to get it.
    pub(super) fn ensure_installed() -> Result<()> {
        command::ensure_installed(&command::missing(&[("dpdk-testpmd", PACKAGE)]))
    }

    /// Starts it with these devices and arguments, and waits for its prompt. Its ports rest.
    ///
    /// It needs no huge pages. The thread at the prompt and those with the packets share the last processor.
    pub(super) fn start(devices: &[String], args: &[&str]) -> Result<Self> {
        Self::start_on(thread::available_parallelism()?.get() - 1, devices, args)
    }

    /// Does so on another processor.
    pub(super) fn start_on(processor: usize, devices: &[String], args: &[&str]) -> Result<Self> {
        let (reader, writer) = io::pipe()?;
        // By itself it says nothing into a pipe until it ends.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "dpdk-testpmd", "--no-huge", "-m", "256", "--no-pci", "--no-shconf", "--no-telemetry"]);
        command.arg("--lcores").arg(format!("0@{processor},1@{processor},2@{processor}"));
        command.args(devices.iter().flat_map(|device| ["--vdev", device]));
        // What is there at the start is not thrown away.
        command.args(["--", "--interactive", "--disable-device-start", "--total-num-mbufs=16384", "--no-flush-rx"]);
        command.args(args);
        command.stdin(Stdio::piped()).stdout(writer.try_clone()?).stderr(writer);
        let mut child = command.spawn().context("cannot run `stdbuf`")?;
        // It holds our end of the pipe, which then has no end.
        drop(command);
        let stdin = child.stdin.take().context("its input is a pipe")?;
        let mut testpmd = Self { child, stdin, output: Output::new(reader) };
        testpmd
            .output
            .until(PROMPT)
            .with_context(|| format!("testpmd does not start; it is of the package {PACKAGE}"))?;
        Ok(testpmd)
    }

    /// Lets its ports work.
    pub(super) fn start_ports(&mut self) -> Result<()> {
        let said = self.command("port start all")?;
        ensure!(!said.to_lowercase().contains("fail"), "testpmd has no ports: {said:?}");
        Ok(())
    }

    /// Gives it a command, and returns what it says to that.
    pub(super) fn command(&mut self, command: &str) -> Result<String> {
        writeln!(self.stdin, "{command}").context("testpmd has ended")?;
        self.output.until(PROMPT).with_context(|| format!("testpmd, asked to {command:?}"))
    }

    /// Returns what a port has counted until now.
    pub(super) fn stats(&mut self, port: usize) -> Result<PortStats> {
        let said = self.command(&format!("show port stats {port}"))?;
        let number = |name: &str| {
            let rest = said.split_once(name).map(|(_, rest)| rest.trim_start());
            let digits = rest.and_then(|rest| rest.split_whitespace().next());
            digits.and_then(|digits| digits.parse().ok()).with_context(|| format!("no {name} in {said:?}"))
        };
        Ok(PortStats {
            received: number("RX-packets:")?,
            transmitted: number("TX-packets:")?,
            transmitted_bytes: number("TX-bytes:")?,
        })
    }

    /// Asks for what a port has counted until that is `enough`.
    pub(super) fn wait_for(&mut self, port: usize, enough: impl Fn(PortStats) -> bool) -> Result<PortStats> {
        let began = Instant::now();
        loop {
            let stats = self.stats(port)?;
            if enough(stats) {
                return Ok(stats);
            }
            if began.elapsed() > PATIENCE {
                bail!("port {port} of testpmd has come to a halt: {stats:?}");
            }
        }
    }

    /// Ends it in good order.
    pub(super) fn quit(mut self) -> Result<()> {
        writeln!(self.stdin, "quit").context("testpmd has ended")?;
        self.output.finish().context("testpmd does not quit")
    }
}

/// In the middle of whatever it does.
impl Drop for Testpmd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
