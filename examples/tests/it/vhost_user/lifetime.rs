//! Beginning and end: of the program, and of front ends.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::process::Signal;

use super::back_end::{BackEnd, command, refusal, socket_path};
use super::driver::{Driver, EVENT_IDX, PACKED};
use super::front_end::{FEATURES, FrontEnd, SET_MEM_TABLE, message};
use crate::blk_file::TempFile;

#[test]
fn signals_end_it() {
    for signal in [Signal::TERM, Signal::INT] {
        // Nobody there.
        assert_eq!(BackEnd::start(&["--null", "512"]).end_with(signal), "");
        // A driver with a ring that is running.
        let back_end = BackEnd::start(&["--null", "512"]);
        let _driver = Driver::connect(back_end.socket(), EVENT_IDX, 1, 64);
        assert_eq!(back_end.end_with(signal), "");
        // A ring that is being polled.
        let back_end = BackEnd::start(&["--null", "512", "--poll"]);
        let _driver = Driver::connect(back_end.socket(), PACKED, 1, 64);
        assert_eq!(back_end.end_with(signal), "");
        // A front end that has stopped in the middle of a message.
        for len in [1, 12, 20] {
            let back_end = BackEnd::start(&["--null", "512"]);
            let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES);
            front_end.send_raw(&message(SET_MEM_TABLE, 1, &[0; 40])[..len], &[]).unwrap();
            back_end.end_with(signal);
        }
    }
}

#[test]
fn front_ends_come_and_go_and_leave_nothing() {
    let file = TempFile::new(&[0; 1 << 20]);
    let back_end = BackEnd::start(&["--blk-file", file.path().to_str().unwrap(), "--queues", "2"]);
    let mut model = file.bytes();
    let counts = |back_end: &BackEnd| {
        // Who is answered has the place of whoever was there before.
        drop(FrontEnd::agreed(back_end.socket(), FEATURES));
        let _last = FrontEnd::agreed(back_end.socket(), FEATURES);
        back_end.check_rings(0);
        (back_end.files(), back_end.mappings())
    };
    let before = counts(&back_end);
    for round in 0..10 {
        let features = [EVENT_IDX, PACKED | EVENT_IDX][round % 2];
        let mut driver = Driver::connect(back_end.socket(), features, 1, 64);
        driver.exercise(&mut model, 4, 8, || {});
        // It goes with a request under way.
        driver.send_read();
        drop(driver);
    }
    assert_eq!(counts(&back_end), before);
    back_end.end();
}

#[test]
fn a_socket_that_was_left_behind_is_replaced() {
    let path = socket_path();
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    BackEnd::start_at(path, &["--null", "512"]).end();
}

#[test]
fn a_socket_in_use_is_not_replaced() {
    let back_end = BackEnd::start(&["--null", "512"]);
    let said = refusal(command(back_end.socket(), &["--null", "512"]));
    assert_eq!(said, format!("error: {}: another program listens there\n", back_end.socket().display()));
    drop(FrontEnd::agreed(back_end.socket(), FEATURES));
    back_end.end();
}

#[test]
fn a_file_in_the_way_stays() {
    let file = TempFile::new(b"precious");
    let said = refusal(command(file.path(), &["--null", "512"]));
    assert_eq!(said, format!("error: {}: there is something else than a socket\n", file.path().display()));
    assert_eq!(file.bytes(), b"precious");
}

#[test]
fn wrong_arguments_are_one_line_and_leave_nothing() {
    let (empty, precious) = (TempFile::new(&[]), TempFile::new(b"precious"));
    let unreadable = "/nonexistent/disk";
    let table: &[(&[&str], &str)] = &[
        (&[], "--blk-file <FILE>"),
        (&["--blk-file", unreadable], unreadable),
        (&["--blk-file", "/tmp"], "neither a file nor a block device"),
        (&["--blk-file", empty.path().to_str().unwrap()], "empty"),
        (&["--blk-file", unreadable, "--null", "512"], "--null <BYTES>"),
        (&["--null", "0"], "0"),
        (&["--null", "many"], "many"),
        (&["--null", "-1"], "-1"),
        (&["--null", "512", "--read-only"], "--read-only"),
        (&["--null", "512", "--direct"], "--direct"),
        (&["--null", "512", "--serial", "a number of 21 letters"], "at most 20 ASCII characters"),
        (&["--null", "512", "--serial", "é"], "at most 20 ASCII characters"),
        (&["--null", "512", "--queues", "0"], "0"),
        (&["--null", "512", "--queues", "257"], "257"),
        (&["--null", "512", "--queue-size", "0"], "0"),
        (&["--null", "512", "--queue-size", "32769"], "32769"),
        (&["--null", "512", "--colour"], "--colour"),
        (&["--null", "512", "more"], "more"),
        (&["--null", "512", "--in-ordr"], "; tip: a similar argument exists: '--in-order'"),
        (&["--null", "512", "--record", "/nonexistent/record"], "--record /nonexistent/record: No such file"),
        (&["--null", "512", "--record", precious.path().to_str().unwrap()], "something else in it, and no record"),
    ];
    for (args, expected) in table {
        let socket = socket_path();
        let said = refusal(command(&socket, args));
        assert!(said.starts_with("error: ") && said.contains(expected), "{args:?}: {said}");
        assert!(!socket.exists());
    }
    let nowhere = refusal(command(Path::new("/nonexistent/socket"), &["--null", "512"]));
    assert_eq!(nowhere, "error: /nonexistent/socket: No such file or directory (os error 2)\n");
    let long = socket_path().with_extension("s".repeat(200));
    assert!(refusal(command(&long, &["--null", "512"])).contains("must be shorter"));
}

#[test]
fn a_read_only_image_is_not_written() {
    let file = TempFile::new(&[7; 4096]);
    let mut permissions = fs::metadata(file.path()).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(file.path(), permissions).unwrap();
    let back_end = BackEnd::start(&["--blk-file", file.path().to_str().unwrap(), "--read-only"]);
    let mut driver = Driver::connect(back_end.socket(), 1 << 5, 1, 64);
    driver.send_read();
    driver.finish(1);
    back_end.end();
}
