//! The process under test.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, getrlimit, kill_process, pidfd_open, prlimit};

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `fd` can be read.
#[track_caller]
pub(crate) fn wait_readable(fd: impl AsFd, what: &str) {
    let patience = Timespec::try_from(PATIENCE).unwrap();
    let ready = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&patience)).unwrap();
    assert_eq!(ready, 1, "{what} took too long");
}

/// Returns a path at which there is no socket yet.
pub(crate) fn socket_path() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("virtio-examples-{}-{number}.sock", std::process::id()))
}

/// Programs that are under test.
pub(crate) const BLK: &str = env!("CARGO_BIN_EXE_vhost-user-blk");
pub(crate) const NET: &str = env!("CARGO_BIN_EXE_vhost-user-net");
pub(crate) const RNG: &str = env!("CARGO_BIN_EXE_vhost-user-rng");
pub(crate) const VSOCK: &str = env!("CARGO_BIN_EXE_vhost-user-vsock");

/// Returns the program of the disk with its arguments.
pub(crate) fn command(socket: &Path, args: &[&str]) -> Command {
    command_of(BLK, socket, args)
}

/// Returns a program with its arguments.
pub(crate) fn command_of(program: &str, socket: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg("--socket-path").arg(socket).args(args);
    command
}

/// A running back end. It is killed with the test.
pub(crate) struct BackEnd {
    child: Child,
    stdout: BufReader<ChildStdout>,
    socket: PathBuf,
}

impl BackEnd {
    /// Starts the one of the disk, and waits until it serves.
    #[track_caller]
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_at(socket_path(), args)
    }

    #[track_caller]
    pub(crate) fn start_at(socket: PathBuf, args: &[&str]) -> Self {
        Self::spawn(command(&socket, args), socket)
    }

    /// Starts the one of another device, and waits until it serves.
    #[track_caller]
    pub(crate) fn start_program(program: &str, args: &[&str]) -> Self {
        Self::start_program_at(program, socket_path(), args)
    }

    #[track_caller]
    pub(crate) fn start_program_at(program: &str, socket: PathBuf, args: &[&str]) -> Self {
        Self::spawn(command_of(program, &socket, args), socket)
    }

    /// Starts the one of another device, whose standard error goes elsewhere.
    #[track_caller]
    pub(crate) fn start_saying(program: &str, args: &[&str], stderr: impl Into<Stdio>) -> Self {
        let socket = socket_path();
        Self::spawn_saying(command_of(program, &socket, args), socket, stderr.into())
    }

    #[track_caller]
    pub(crate) fn spawn(command: Command, socket: PathBuf) -> Self {
        Self::spawn_saying(command, socket, Stdio::piped())
    }

    #[track_caller]
    fn spawn_saying(mut command: Command, socket: PathBuf, stderr: Stdio) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut back_end = Self { child, stdout, socket };
        assert_eq!(back_end.next_line(), format!("serving {}\n", back_end.socket.display()));
        back_end
    }

    /// Returns the standard output, which it may be writing to.
    pub(crate) fn stdout(&self) -> &ChildStdout {
        self.stdout.get_ref()
    }

    /// Sets how many files it can have open, and returns how many it could.
    pub(crate) fn limit_files(&self, limit: Option<u64>) -> Option<u64> {
        let known = getrlimit(Resource::Nofile);
        let before = prlimit(Some(self.pid()), Resource::Nofile, Rlimit { current: limit, ..known });
        before.unwrap().current
    }

    /// Lets it open so many files more, and returns how many it could have open.
    pub(crate) fn leave_files(&self, spare: usize) -> Option<u64> {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let open: HashSet<u64> =
            open.map(|file| file.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
        // The limit is one for the numbers of files, and those that were closed can be used again.
        self.limit_files((0..).filter(|number| !open.contains(number)).nth(spare))
    }

    /// Returns what the system knows of the files that it has mapped and that exist in memory only: for each of them
    /// how many bytes are mapped, and the flags of the mapping.
    pub(crate) fn mapped(&self) -> Vec<(u64, String)> {
        let maps = fs::read_to_string(format!("/proc/{}/smaps", self.child.id())).unwrap();
        let mut lines = maps.lines();
        let mut mapped = Vec::new();
        while let Some(line) = lines.find(|line| line.contains("/memfd:")) {
            let (start, end) = line.split_whitespace().next().unwrap().split_once('-').unwrap();
            let [start, end] = [start, end].map(|at| u64::from_str_radix(at, 16).unwrap());
            let flags = lines.find_map(|line| line.strip_prefix("VmFlags:")).unwrap();
            mapped.push((end - start, format!("{flags} ")));
        }
        mapped
    }

    /// Waits for what it says next.
    #[track_caller]
    pub(crate) fn next_line(&mut self) -> String {
        if self.stdout.buffer().is_empty() {
            wait_readable(self.stdout.get_ref(), "a line");
        }
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Returns how many files it has open.
    pub(crate) fn files(&self) -> usize {
        self.count("fd")
    }

    /// Checks how many rings are being served. A thread that has ended can be seen for another moment.
    #[track_caller]
    pub(crate) fn check_rings(&self, expected: usize) {
        // One thread is for messages, one for signals, one for reports.
        let began = Instant::now();
        while self.count("task") != 3 + expected {
            assert!(began.elapsed() < PATIENCE, "{} threads for {expected} rings", self.count("task"));
            thread::yield_now();
        }
    }

    fn count(&self, directory: &str) -> usize {
        fs::read_dir(format!("/proc/{}/{directory}", self.child.id())).unwrap().count()
    }

    /// Returns how many files it has mapped that exist in memory only.
    pub(crate) fn mappings(&self) -> usize {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.child.id())).unwrap();
        maps.lines().filter(|line| line.contains("/memfd:")).count()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Ends it with `signal`, checks that it ended well, and returns what it had to say.
    #[track_caller]
    pub(crate) fn end_with(self, signal: Signal) -> String {
        self.end_with_outputs(signal).1
    }

    /// Does so, and returns what was left on the standard output, and what was on the standard error.
    #[track_caller]
    pub(crate) fn end_with_outputs(mut self, signal: Signal) -> (String, String) {
        let pidfd = pidfd_open(self.pid(), PidfdFlags::empty()).unwrap();
        self.signal(signal);
        wait_readable(pidfd, "the end");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        assert!(!self.socket.exists(), "the socket is left behind");
        let (mut printed, mut said) = (String::new(), String::new());
        self.stdout.read_to_string(&mut printed).unwrap();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut said).unwrap();
        }
        (printed, said)
    }

    /// Ends it, after it had nothing to say.
    #[track_caller]
    pub(crate) fn end(self) {
        assert_eq!(self.end_with(Signal::TERM), "");
    }
}

impl Drop for BackEnd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.socket);
    }
}

/// Runs the program with arguments that it cannot work with, and returns what it says.
#[track_caller]
pub(crate) fn refusal(mut command: Command) -> String {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It says nothing there until it ends, unless it serves.
    let mut stdout = child.stdout.take().unwrap();
    wait_readable(&stdout, "the refusal");
    if stdout.read(&mut [0]).unwrap() != 0 {
        child.kill().unwrap();
    }
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(2));
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}
