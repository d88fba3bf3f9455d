//! A vhost-user back end as a process.

mod at_work;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::output::{Output, PATIENCE};
use xtask_support::Spinner;
use xtask_support::cargo::{Cargo, host, metadata};

/// Builds the program of a back end for speed, and returns where it is.
pub(crate) fn build(name: &str) -> Result<PathBuf> {
    let spinner = Spinner::new(format!("building {name}"));
    Cargo::new(format!("build --locked --release --package virtio-examples --bin {name}")).run(&spinner)?;
    Ok(metadata()?.target_directory.join("release").join(name).into_std_path_buf())
}

/// Builds the program for guests, which have no libraries, and returns where it is.
pub(crate) fn build_for_guests() -> Result<PathBuf> {
    let spinner = Spinner::new("building the program of the guests".to_owned());
    let (host, directory) = (host()?, metadata()?.target_directory.join("guest"));
    let cargo = Cargo::new(format!("build --locked --release --package xtask-guest --target {host}"));
    cargo.env("CARGO_TARGET_DIR", &directory).env("RUSTFLAGS", "-C target-feature=+crt-static").run(&spinner)?;
    Ok(directory.join(host).join("release/xtask-guest").into_std_path_buf())
}

/// The processor that a back end has for itself when it is measured.
pub(crate) const PROCESSOR: usize = 0;

/// A message of vhost-user without a payload: its number, its flags with the version, and the length of the payload.
const GET_FEATURES: [u32; 3] = [1, 1, 0];
/// The answer is as long, with 64 bits more.
const ANSWER_LEN: usize = 20;

/// A running back end.
pub(crate) struct BackEnd {
    child: Child,
    output: Output,
    socket: PathBuf,
}

/// What a back end has of the system: that may not become more from one front end to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resources {
    files: usize,
    threads: usize,
    /// Files in memory that are mapped.
    mappings: usize,
}

impl BackEnd {
    /// Starts a program of this project, and waits until it serves.
    pub(crate) fn start(program: &Path, args: &[&str]) -> Result<Self> {
        Self::start_at(Self::new_socket(), program, args)
    }

    /// As [`start`](Self::start), at a place of the caller's choice.
    pub(crate) fn start_at(socket: PathBuf, program: &Path, args: &[&str]) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg("--socket-path").arg(&socket).args(args);
        Self::spawn(command, socket, "serving ")
    }

    /// Returns where a back end may listen, one at a time.
    pub(crate) fn new_socket() -> PathBuf {
        env::temp_dir().join(format!("virtio-xtask-interop-{}.sock", process::id()))
    }

    /// Starts a program that is going to listen at `socket`, and waits until its first line says so.
    pub(crate) fn spawn(mut command: Command, socket: PathBuf, greeting: &str) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.with_context(|| format!("cannot run {program}"))?;
        let output = Output::new(child.stdout.take().context("its output is a pipe")?);
        let mut back_end = Self { child, output, socket };
        let line = back_end.next_line()?;
        ensure!(line.starts_with(greeting), "{program} does not serve: {line}");
        Ok(back_end)
    }

    /// Returns where it listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Keeps it on one processor, with the threads that it has, and those that it will have.
    pub(crate) fn run_on(&self, processor: usize) -> Result<()> {
        let mut processors = CpuSet::new();
        processors.set(processor);
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let id = thread?.file_name().to_string_lossy().parse()?;
            sched_setaffinity(Pid::from_raw(id), &processors)?;
        }
        Ok(())
    }

    /// Kills it, and leaves behind what it leaves behind.
    pub(crate) fn kill(mut self) {
        self.socket = PathBuf::new();
    }

    /// Returns whether it has not ended, as it never should.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for the next line that it says.
    pub(crate) fn next_line(&mut self) -> Result<String> {
        self.output.until("\n").context("the back end")
    }

    /// Asks it to say what it has done until now.
    pub(crate) fn ask_for_report(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::USR1)?)
    }

    /// Returns what it has of the system when all other front ends are gone, and one has asked for the features only.
    pub(crate) fn at_rest(&self) -> Result<Resources> {
        let mut connection = UnixStream::connect(&self.socket)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        // It serves one after the other, so that an answer says that it has done with those before.
        connection.write_all(GET_FEATURES.map(u32::to_ne_bytes).as_flattened())?;
        connection.read_exact(&mut [0; ANSWER_LEN]).context("the back end does not answer")?;
        self.resources()
    }

    /// Waits until it has no more [at rest](Self::at_rest) than it had before.
    ///
    /// # Errors
    ///
    /// If that does not happen.
    pub(crate) fn comes_to(&self, before: &Resources) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.at_rest()?;
            if now == *before {
                return Ok(());
            }
            // A thread that has ended, and was waited for, can still be seen for a moment.
            ensure!(Instant::now() < deadline, "the back end has {now:?} rather than {before:?}");
            thread::yield_now();
        }
    }

    /// Returns how long the threads that it has now have used a processor.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        processor_time(&self.child.id().to_string())
    }

    /// Returns what it has of the system.
    pub(crate) fn resources(&self) -> Result<Resources> {
        let proc = Path::new("/proc").join(self.child.id().to_string());
        let maps = fs::read_to_string(proc.join("maps"))?;
        Ok(Resources {
            files: fs::read_dir(proc.join("fd"))?.count(),
            threads: fs::read_dir(proc.join("task"))?.count(),
            mappings: maps.lines().filter(|line| line.contains("/memfd:")).count(),
        })
    }
}

/// Returns how long the threads that a process has now have used a processor. The process is a number, or `self`.
pub(crate) fn processor_time(process: &str) -> Result<Duration> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let stat = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanoseconds += stat.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

impl Drop for BackEnd {
    fn drop(&mut self) {
        // It may have ended by itself, and that was noticed elsewhere.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.socket);
    }
}
