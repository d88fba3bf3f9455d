//! What management software expects of a back end: the vhost-user specification, "Backend program conventions".

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::back_end::{BLK, BackEnd, NET, RNG, VSOCK, refusal, socket_path, wait_readable};
use super::driver::Driver;
use super::front_end::{FEATURES, FrontEnd};
use crate::blk_file::TempFile;

/// The feature bit of a disk that cannot be written.
const RO: u64 = 1 << 5;

#[test]
fn capabilities_are_printed_whatever_else_is_said() {
    let table = [
        (BLK, "block", r#"["read-only", "blk-file"]"#),
        (NET, "net", "[]"),
        (RNG, "rng", "[]"),
        (VSOCK, "vsock", "[]"),
    ];
    let others: [&[&str]; 3] = [&[], &["--socket-path", "/nonexistent/socket"], &["--nonsense", "--fd", "many"]];
    for (program, kind, features) in table {
        for args in others {
            let printed = Command::new(program).args(args).arg("--print-capabilities").output().unwrap();
            assert!(printed.status.success() && printed.stderr.is_empty());
            let expected = format!("{{\n  \"type\": \"{kind}\",\n  \"features\": {features}\n}}\n");
            assert_eq!(String::from_utf8(printed.stdout).unwrap(), expected);
        }
    }
}

/// Starts the back end of the disk with a socket that it inherits.
fn inheriting(socket: &impl AsRawFd) -> Child {
    let mut command = Command::new(BLK);
    command.args(["--null", "4096", "--fd", &socket.as_raw_fd().to_string()]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Returns a duplicate that programs inherit.
fn inheritable(socket: impl Into<OwnedFd>) -> OwnedFd {
    rustix::io::dup(socket.into()).unwrap()
}

#[track_caller]
fn check_ends(child: Child) {
    wait_readable(pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap(), "the end");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn connected_socket_is_inherited_and_the_program_ends_with_its_front_end() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let theirs = inheritable(theirs);
    let child = inheriting(&theirs);
    drop(theirs);
    drop(FrontEnd::agreed_on(ours, FEATURES));
    check_ends(child);
}

#[test]
fn listening_socket_is_inherited_and_outlives_the_program() {
    let path = socket_path();
    let listener = inheritable(UnixListener::bind(&path).unwrap());
    for _ in 0..2 {
        let child = inheriting(&listener);
        (0..2).for_each(|_| drop(FrontEnd::agreed(&path, FEATURES)));
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        check_ends(child);
        assert!(path.exists());
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn sockets_that_cannot_be_are_refused_in_one_line() {
    let table: [(&[&str], &str); 6] = [
        (&[], "--socket-path <PATH>"),
        (&["--fd", "3", "--socket-path", "/tmp/both"], "--socket-path <PATH>"),
        (&["--fd", "2"], "3.."),
        (&["--fd", "-1"], "-1"),
        (&["--fd", "1000000"], "file descriptor 1000000: it is not open"),
        (&["--fd", "many"], "many"),
    ];
    for (args, expected) in table {
        let mut command = Command::new(BLK);
        command.args(["--null", "4096"]).args(args);
        let said = refusal(command);
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}

#[test]
fn disk_is_read_only_if_it_is_said() {
    let file = TempFile::new(&[7; 4096]);
    let path = file.path().to_str().unwrap();
    for (args, expected) in [(&["--blk-file", path][..], 0), (&["--blk-file", path, "--read-only"], RO)] {
        let back_end = BackEnd::start(args);
        assert_eq!(FrontEnd::connect(back_end.socket()).get(super::front_end::GET_FEATURES) & RO, expected);
        let mut driver = Driver::connect(back_end.socket(), expected, 1, 64);
        driver.send_read();
        driver.finish(1);
        back_end.end();
    }
}
