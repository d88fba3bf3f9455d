//! Reading and writing.

use super::back_end::BackEnd;
use super::driver::{Driver, EVENT_IDX, IN_ORDER, MQ, PACKED};
use super::front_end::{
    Answer, FrontEnd, Region, SET_VRING_BASE, SET_VRING_ENABLE, SET_VRING_KICK, event_fd, memory_file,
};
use crate::blk_file::TempFile;
use crate::disk::pattern;

const SIZE: usize = 1 << 20;

/// Runs a back end on a file, and checks that it and the driver agree on what is in it in the end.
#[track_caller]
fn check(args: &[&str], features: u64, queues: usize, size: u16, depth: usize) {
    let mut model = pattern(SIZE);
    let file = TempFile::new(&model);
    let args = [&["--blk-file", file.path().to_str().unwrap()], args].concat();
    let back_end = BackEnd::start(&args);
    let mut driver = Driver::connect(back_end.socket(), features, queues, size);
    driver.exercise(&mut model, 120, depth, || {});
    drop(driver);
    back_end.end();
    assert!(file.bytes() == model, "the file holds something else");
}

/// How the file is read and written.
const WAYS: [&[&str]; 2] = [&["--io", "plain"], &["--io", "uring"]];

#[test]
fn both_formats_serve_one_request_at_a_time() {
    for (features, io) in [0, EVENT_IDX, PACKED, PACKED | EVENT_IDX].into_iter().zip(WAYS.into_iter().cycle()) {
        check(io, features, 1, 64, 1);
    }
}

#[test]
fn both_formats_serve_full_queues() {
    for io in WAYS {
        for features in [0, EVENT_IDX, PACKED, PACKED | EVENT_IDX] {
            // Three descriptors for each request.
            check(io, features, 1, 128, 42);
        }
    }
}

/// The driver does not know that one used element can stand for several requests: they come one at a time.
#[test]
fn both_formats_serve_in_order() {
    for io in WAYS {
        for features in [IN_ORDER, IN_ORDER | EVENT_IDX, PACKED | IN_ORDER, PACKED | IN_ORDER | EVENT_IDX] {
            check(&[io, &["--in-order"]].concat(), features, 1, 32, 8);
        }
    }
}

#[test]
fn both_formats_are_polled() {
    for io in WAYS {
        for features in [0, EVENT_IDX, PACKED, PACKED | EVENT_IDX] {
            check(&[io, &["--poll"]].concat(), features, 1, 64, 16);
        }
        check(&[io, &["--poll", "--in-order"]].concat(), PACKED | IN_ORDER, 1, 64, 16);
    }
}

#[test]
fn several_queues_share_a_disk() {
    for features in [MQ | EVENT_IDX, MQ | PACKED | EVENT_IDX] {
        check(&["--queues", "3"], features, 3, 32, 8);
    }
}

#[test]
fn a_packed_queue_need_not_be_a_power_of_two() {
    check(&["--queue-size", "100"], PACKED, 1, 100, 33);
}

#[test]
fn config_says_what_there_is() {
    for (queue_size, expected_seg_max) in [("64", 62), ("128", 126), ("32768", 126)] {
        let back_end = BackEnd::start(&["--null", "1000000", "--queues", "2", "--queue-size", queue_size]);
        let config = Driver::connect(back_end.socket(), MQ, 1, 64).config();
        let (capacity, seg_max, queues) =
            (u64::from(config.capacity), u32::from(config.seg_max), u16::from(config.num_queues));
        assert_eq!((capacity, seg_max, queues), (1954, expected_seg_max, 2));
        back_end.end();
    }
}

/// Stops the ring and starts it again after each batch of requests that was sent: some have been served then, some not.
#[test]
fn a_ring_goes_on_where_it_was_stopped() {
    for features in [0, EVENT_IDX, PACKED, PACKED | EVENT_IDX] {
        let mut model = vec![0; SIZE];
        let file = TempFile::new(&model);
        let back_end = BackEnd::start(&["--blk-file", file.path().to_str().unwrap()]);
        let mut driver = Driver::connect(back_end.socket(), features, 1, 64);
        let mut control = FrontEnd::beside(back_end.socket());
        let kick = event_fd();
        driver.kick_with(kick.try_clone().unwrap());
        // It is over with the driver's own kick.
        let mut bases = Vec::new();
        let mut restart = || {
            let base = control.stop_ring(0).unwrap();
            bases.push(base);
            assert_eq!(control.set_ring(SET_VRING_BASE, 0, base), Answer::Yes);
            assert_eq!(control.set_event(SET_VRING_KICK, 0, &kick), Answer::Yes);
        };
        restart();
        driver.exercise(&mut model, 200, 10, restart);
        // A packed ring tells the wrap counters as well, and these have changed.
        if features & PACKED != 0 {
            assert!(bases.iter().all(|base| base >> 16 == base & 0xffff), "{bases:x?}");
            assert!([0, 0x8000].iter().all(|wrap| bases.iter().any(|base| base & 0x8000 == *wrap)), "{bases:x?}");
        } else {
            assert!(bases.is_sorted() && bases.last() >= Some(&1990), "{bases:?}");
        }
        back_end.end();
        assert!(file.bytes() == model, "the file holds something else");
    }
}

#[test]
fn memory_comes_and_goes_while_a_ring_is_running() {
    for features in [EVENT_IDX, PACKED | EVENT_IDX] {
        let mut model = vec![0; SIZE];
        let file = TempFile::new(&model);
        let back_end = BackEnd::start(&["--blk-file", file.path().to_str().unwrap()]);
        let mut driver = Driver::connect(back_end.socket(), features, 1, 64);
        let mut control = FrontEnd::beside(back_end.socket());
        let more = memory_file(0x1_0000);
        let region = Region { guest: 0x1000, size: 0x8000, user: 0x10_0000, offset: 0x8000 };
        driver.exercise(&mut model, 100, 10, || {
            assert_eq!(control.add_memory(region, &more), Answer::Yes);
            assert_eq!(control.add_memory(region, &more), Answer::Yes, "QEMU says it more than once");
            assert_eq!(control.remove_memory(region), Answer::Yes);
            assert_eq!(control.remove_memory(region), Answer::No, "it is not there any more");
        });
        drop(back_end);
        assert!(file.bytes() == model, "the file holds something else");
    }
}

#[test]
fn a_ring_that_is_disabled_rests() {
    for features in [EVENT_IDX, PACKED] {
        let back_end = BackEnd::start(&["--null", "4096"]);
        let mut driver = Driver::connect(back_end.socket(), features, 1, 64);
        let mut control = FrontEnd::beside(back_end.socket());
        driver.send_read();
        driver.finish(1);
        assert_eq!(control.set_ring(SET_VRING_ENABLE, 0, 0), Answer::Yes);
        // The kick comes before the ring is enabled, and is all that there is.
        driver.send_read();
        back_end.check_rings(0);
        assert_eq!(control.set_ring(SET_VRING_ENABLE, 0, 1), Answer::Yes);
        driver.finish(1);
        back_end.end();
    }
}
