//! What the system does not have, and what nobody reads.

use std::thread;
use std::time::Duration;

use rustix::io::ioctl_fionbio;
use rustix::pipe::{fcntl_setpipe_size, pipe};
use rustix::process::Signal;

use super::back_end::{BLK, BackEnd, NET};
use super::driver::{Driver, PACKED};
use super::front_end::{
    Answer, FEATURES, FrontEnd, GET_FEATURES, SET_VRING_BASE, SET_VRING_KICK, SET_VRING_NUM, event_fd, message,
};
use super::rings::{Buffer, Memory, RawRing};

#[test]
fn standard_error_that_nobody_reads_holds_nobody_up() {
    let (reader, writer) = pipe().unwrap();
    fcntl_setpipe_size(&writer, 4096).unwrap();
    // Full from the beginning.
    let blocking = writer.try_clone().unwrap();
    ioctl_fionbio(&writer, true).unwrap();
    while rustix::io::write(&writer, &[b'x'; 512]).is_ok() {}
    ioctl_fionbio(&writer, false).unwrap();
    let back_end = BackEnd::start_saying(BLK, &["--null", "4096"], blocking);
    for _ in 0..3 {
        let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES);
        for size in 0..500 {
            assert_eq!(front_end.set_ring(SET_VRING_NUM, 0, size << 16), Answer::No);
        }
        // Says what is no message.
        let _ = front_end.send_raw(&message(0, 1, &[]), &[]);
    }
    back_end.end_with(Signal::TERM);
    drop(reader);
}

#[test]
fn refusals_do_not_flood_the_standard_error() {
    let back_end = BackEnd::start(&["--null", "4096"]);
    let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES);
    for _ in 0..5000 {
        assert_eq!(front_end.set_ring(SET_VRING_NUM, 0, 0), Answer::No);
    }
    drop(front_end);
    let said = back_end.end_with(Signal::TERM);
    assert!(said.starts_with("refused what the front end says: the size of a ring is 1 to 1024\n"), "{said}");
    assert!(said.lines().count() < 200, "{said}");
}

#[test]
fn standard_output_that_nobody_reads_holds_nobody_up() {
    let back_end = BackEnd::start_program(NET, &["--mode", "sink", "--queues", "8"]);
    fcntl_setpipe_size(back_end.stdout(), 4096).unwrap();
    // Each leaves a report of eight lines behind.
    for _ in 0..100 {
        FrontEnd::connect(back_end.socket()).get(GET_FEATURES);
        back_end.signal(Signal::USR1);
    }
    back_end.end_with(Signal::TERM);
}

#[test]
fn front_ends_wait_while_there_are_no_files_left() {
    let back_end = BackEnd::start(&["--null", "4096"]);
    drop(FrontEnd::agreed(back_end.socket(), FEATURES));
    let _idle = FrontEnd::agreed(back_end.socket(), FEATURES);
    drop(_idle);
    back_end.check_rings(0);
    let before = back_end.limit_files(Some(5));
    let mut front_end = FrontEnd::connect(back_end.socket());
    let waits = thread::spawn(move || front_end.get(GET_FEATURES));
    // Long enough for many attempts.
    thread::sleep(Duration::from_millis(500));
    assert!(!waits.is_finished());
    back_end.limit_files(before);
    assert_eq!(waits.join().unwrap() & FEATURES, FEATURES);
    let said = back_end.end_with(Signal::TERM);
    assert_eq!(said, "front ends wait until they can be served: Too many open files (os error 24)\n");
}

#[test]
fn file_that_is_made_shorter_ends_nothing() {
    for len in [0, 0x1000, 0x1_0000] {
        let back_end = BackEnd::start(&["--null", "4096"]);
        let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES);
        let memory = Memory::share(&mut front_end);
        let mut ring = RawRing::start(&mut front_end, 0);
        ring.add(&memory, Buffer::Readable(&[0; 16]));
        ring.wait(&memory);
        memory.shorten(len);
        // The device goes on in pages of its own, which it accesses when the ring is started at the latest.
        ring.kick();
        let base = front_end.stop_ring(0).unwrap();
        assert_eq!(front_end.set_ring(SET_VRING_BASE, 0, base), Answer::Yes);
        // It may be refused: what is in these pages is no ring.
        assert_ne!(front_end.set_event(SET_VRING_KICK, 0, event_fd()), Answer::Closed);
        assert!(front_end.stop_ring(0).is_some());
        drop(front_end);
        let mut driver = Driver::connect(back_end.socket(), PACKED, 1, 64);
        driver.send_read();
        driver.finish(1);
        drop(driver);
        let said = back_end.end_with(Signal::TERM);
        let lost = said.contains("pages of memory were not in their files, and were replaced\n");
        assert_eq!(lost, len < 0x3000, "{len:#x}: {said}");
    }
}
