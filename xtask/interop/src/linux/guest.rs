//! A guest under QEMU, and what it says.

use std::fs::{self, File};
use std::io::{self, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};

use super::case::Case;
use super::system::{KERNEL_PACKAGE, System};
use crate::back_end::{BackEnd, processor_time};
use crate::matrix::{EVENT_IDX, INDIRECT_DESC, RING_PACKED, VERSION_1};
use crate::output::Output;

/// How long the guest may take for anything. It takes seconds, on processors that nobody else needs.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);

/// How lines begin that are meant for the host.
const MARK: &str = "@@ ";

/// How many lines of its console are shown when a guest fails.
const TAIL: usize = 30;

/// The properties of QEMU's devices for what a case may ask for.
const PROPERTIES: [(u64, &str); 3] =
    [(RING_PACKED, "packed"), (EVENT_IDX, "event_idx"), (INDIRECT_DESC, "indirect_desc")];

/// A guest that runs. It ends when this is dropped.
pub(super) struct Guest {
    qemu: Child,
    input: ChildStdin,
    output: Output,
    console: Vec<String>,
}

impl Guest {
    /// Boots a guest that does `task`, with one device of `back_end`: `device` is QEMU's name for it and its
    /// properties, `options` are those that it needs besides its socket, which is called `socket`.
    pub(super) fn boot(
        system: &System,
        case: &Case,
        back_end: &BackEnd,
        task: &str,
        device: &str,
        options: &[&str],
    ) -> Result<Self> {
        let mut command = Self::command(system, task, "256");
        command.args(["-chardev", &format!("socket,id=socket,path={}", back_end.socket().display())]);
        command.args(options).args(["-device", &format!("{device}{}", properties(case.features))]);
        Self::run(command)
    }

    /// Returns the beginning of a command line, without devices, for a guest that does `task`, which can be followed by
    /// other parameters of the kernel. Its memory is as QEMU's
    /// option `-m` has it, of which 256 MiB are there from the beginning.
    pub(super) fn command(system: &System, task: &str, memory: &str) -> Command {
        let mut command = Command::new("qemu-system-x86_64");
        // Memory that others can map; no devices but those that are named here; and a reset is the end.
        command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"]);
        command.args(["-accel", "tcg", "-smp", "2", "-m", memory, "-machine", "q35,memory-backend=memory"]);
        command.args(["-object", "memory-backend-memfd,id=memory,size=256M,share=on"]);
        command.arg("-kernel").arg(&system.kernel).arg("-initrd").arg(system.initramfs.path());
        // The kernel's tests of its own ciphers take time, and were seen to keep an emulated guest from booting. Its
        // test of the timer fails where the host is too busy to let interrupts come in time, and then it panics.
        let kernel = "console=ttyS0 quiet panic=-1 cryptomgr.notests no_timer_check";
        command.args(["-append", &format!("{kernel} task={task}")]);
        command
    }

    /// Runs a guest with a command line that is complete.
    pub(super) fn run(mut command: Command) -> Result<Self> {
        let (console, writer) = io::pipe()?;
        command.stdin(Stdio::piped()).stdout(writer.try_clone()?).stderr(writer);
        let mut qemu = command.spawn().context("cannot run QEMU")?;
        let input = qemu.stdin.take().context("its input is a pipe")?;
        Ok(Self { qemu, input, output: Output::new(console), console: Vec::new() })
    }

    /// Returns the memory that the guest has from the beginning.
    ///
    /// # Errors
    ///
    /// If QEMU is gone.
    pub(super) fn memory(&self) -> Result<File> {
        for entry in fs::read_dir(format!("/proc/{}/fd", self.qemu.id()))? {
            let path = entry?.path();
            // Others can be closed meanwhile.
            if fs::read_link(&path).is_ok_and(|name| name.to_string_lossy().starts_with("/memfd:memory-backend-memfd"))
            {
                return Ok(File::open(path)?);
            }
        }
        bail!("QEMU has no file of the guest's memory")
    }

    /// Returns how long the threads that QEMU has now have used a processor, for the guest and for its devices.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        processor_time(&self.qemu.id().to_string())
    }

    /// Asks a guest for something whose task is to obey.
    pub(super) fn ask(&mut self, request: &str) -> Result<()> {
        writeln!(self.input, "{request}").map_err(|error| self.failure(&format!("it cannot be asked: {error}")))
    }

    /// Waits for the next line that is meant for the host, and returns what it says of `key`.
    ///
    /// # Errors
    ///
    /// If it is about something else, or there is none.
    pub(super) fn said(&mut self, key: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.output.until_deadline("\n", deadline);
            let line = line.map_err(|error| self.failure(&format!("it did not say '{key}': {error:#}")))?;
            let line = line.trim_end();
            if let Some(said) = line.strip_prefix(MARK) {
                let (word, rest) = said.split_once(' ').unwrap_or((said, ""));
                ensure!(word == key, self.failure(&format!("'{said}' rather than '{key}'")));
                return Ok(rest.to_owned());
            }
            self.console.push(line.to_owned());
        }
    }

    /// Waits for a number.
    ///
    /// # Errors
    ///
    /// As for [`said`](Self::said).
    pub(super) fn said_number(&mut self, key: &str) -> Result<u64> {
        let said = self.said(key)?;
        said.parse().with_context(|| format!("the guest says that '{key}' is '{said}'"))
    }

    /// Waits for the features that the driver and the device agreed on, sees whether they are those of the case, and
    /// returns all of them. `multi_queue` is the bit that is to be there with more than one queue.
    ///
    /// # Errors
    ///
    /// If they are not.
    pub(super) fn said_features(&mut self, case: &Case, multi_queue: u64) -> Result<u64> {
        // One digit for each bit, the lowest first.
        let booting = || format!("a guest with the kernel of the package {KERNEL_PACKAGE} does not come up");
        let said = self.said("features").with_context(booting)?;
        let features = said.bytes().rev().fold(0, |bits, digit| bits << 1 | u64::from(digit == b'1'));
        let asked = VERSION_1 | case.features | if case.queues > 1 { multi_queue } else { 0 };
        let known = VERSION_1 | multi_queue | PROPERTIES.iter().fold(0, |bits, (bit, _)| bits | bit);
        ensure!(
            features & known == asked,
            "features {features:#x} were negotiated, of which {asked:#x} were asked for"
        );
        Ok(features)
    }

    /// Waits until the guest has done what it was to do.
    ///
    /// # Errors
    ///
    /// If it does not end.
    pub(super) fn end(mut self) -> Result<()> {
        self.said("done")?;
        self.output.finish().map_err(|error| self.failure(&format!("it does not end: {error:#}")))?;
        let status = self.qemu.wait()?;
        ensure!(status.success(), self.failure(&format!("QEMU ended with {status}")));
        Ok(())
    }

    /// Ends it at once, and returns what it said last.
    pub(super) fn last_words(mut self) -> String {
        // It may have ended by itself.
        let _ = self.qemu.kill();
        match self.output.finish() {
            Ok(()) => self.output.tail(),
            Err(error) => error.to_string(),
        }
    }

    /// Describes what went wrong, with the end of what was on the console.
    fn failure(&self, what: &str) -> Error {
        let tail = self.console.len().saturating_sub(TAIL);
        anyhow!("the guest: {what}\n    {}", self.console.get(tail..).unwrap_or_default().join("\n    "))
    }
}

/// Returns what a device of QEMU's is told of the features that a case may ask for.
pub(super) fn properties(features: u64) -> String {
    let on_or_off = |bit| if features & bit == 0 { "off" } else { "on" };
    PROPERTIES.iter().map(|(bit, name)| format!(",{name}={}", on_or_off(*bit))).collect()
}

/// Ends it at once, whatever it is doing.
impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}
