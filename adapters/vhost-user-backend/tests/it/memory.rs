//! Memory that comes and goes while chains are out.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use adapter_test_support::{REGIONS, answer, question, shared_file};
use virtio_fake_driver::DriverChain;
use virtio_fake_driver::features::{EVENT_IDX, RING_PACKED};
use virtio_mem_traits::DriverAddr;

use super::device::{Device, UpperCase, next, nothing_comes};
use super::framework::vhost::vhost_user::VhostUserFrontend;
use super::framework::vhost::{VhostBackend, VhostUserDirtyLogRegion};
use super::framework::vhost_user_backend::bitmap::BitmapMmapRegion;
use super::front_end::FrontEnd;

const FORMATS: [u64; 2] = [EVENT_IDX, RING_PACKED | EVENT_IDX];

/// The region without a ring.
const PLUGGED: u64 = REGIONS[2];

/// A question whose answer goes to the region that comes and goes.
fn question_for_plugged(text: &str, offset: u64) -> DriverChain {
    question(text).at(DriverAddr(PLUGGED + offset))
}

/// Each chain keeps the memory that it was fetched from, and a later one has what was plugged in before it.
#[test]
fn chains_that_are_out_keep_their_memory() {
    for ring in FORMATS {
        let (device, chains) = UpperCase::handing_over();
        let mut front_end = FrontEnd::new(device, ring);
        front_end.share(&REGIONS[..2]);
        let mut driver = front_end.driver(0, 16, ring);
        let signals = front_end.start(0, &driver, 0);
        signals.send(&mut driver, &question("early"));
        let early = next(&chains);

        let plugged = front_end.region(PLUGGED);
        front_end.connection.add_mem_region(&plugged).unwrap();
        signals.send(&mut driver, &question_for_plugged("later", 0));
        let later = next(&chains);

        front_end.connection.remove_mem_region(&plugged).unwrap();
        answer(later);
        answer(early);
        let used = signals.receive(&mut driver, 2);
        assert_eq!([used[0].written(), used[1].written()], [b"LATER", b"EARLY"]);

        // A chain that names the region now is malformed.
        signals.send(&mut driver, &question_for_plugged("never", 0));
        drop(next(&chains));
        assert_eq!(signals.receive(&mut driver, 1)[0].written(), b"");
    }
}

/// The whole table is replaced, with a region more than before, between two chains.
#[test]
fn memory_table_is_replaced_under_a_ring() {
    for ring in FORMATS {
        let (device, _) = UpperCase::new(answer);
        let mut front_end = FrontEnd::new(device, ring);
        let mut driver = front_end.driver(0, 16, ring);
        let signals = front_end.start(0, &driver, 0);
        for round in 0..10 {
            front_end.share(&REGIONS[..2]);
            assert_eq!(signals.ask(&mut driver, "before"), "BEFORE");
            front_end.share(&REGIONS);
            signals.send(&mut driver, &question_for_plugged("after", 8 * round));
            assert_eq!(signals.receive(&mut driver, 1)[0].written(), b"AFTER");
        }
    }
}

/// The chain that is out returns to a ring whose region is away. Nothing is fetched until the region is back.
#[test]
fn ring_whose_region_is_away_pauses() {
    for ring in FORMATS {
        let (device, chains) = UpperCase::handing_over();
        let mut front_end = FrontEnd::new(device, ring);
        let mut driver = front_end.driver(0, 16, ring);
        let signals = front_end.start(0, &driver, 0);
        signals.send(&mut driver, &question("early"));
        let early = next(&chains);

        front_end.share(&REGIONS[1..]);
        signals.send(&mut driver, &question("later"));
        signals.kick();
        answer(early);
        assert_eq!(signals.receive(&mut driver, 1)[0].written(), b"EARLY");
        assert!(nothing_comes(&chains));

        front_end.share(&REGIONS);
        answer(next(&chains));
        assert_eq!(signals.receive(&mut driver, 1)[0].written(), b"LATER");
        assert_eq!(front_end.connection.get_vring_base(0).unwrap(), u32::from(driver.available_position()));
    }
}

/// What the device writes is in the log of the front end, by pages, and what it does not write is not.
#[test]
fn writes_are_in_the_log() {
    for ring in FORMATS {
        let (device, _) = Device::<BitmapMmapRegion>::new(answer);
        let mut front_end = FrontEnd::new(device, ring);
        let mut driver = front_end.driver(0, 16, ring);
        let signals = front_end.start(0, &driver, 0);
        assert_eq!(signals.ask(&mut driver, "unlogged"), "UNLOGGED");

        let log = shared_file(0x1000);
        let region = VhostUserDirtyLogRegion { mmap_size: 0x1000, mmap_offset: 0, mmap_handle: log.as_raw_fd() };
        front_end.connection.set_log_base(0, Some(region)).unwrap();
        signals.send(&mut driver, &question_for_plugged("logged", 0x3000));
        assert_eq!(signals.receive(&mut driver, 1)[0].written(), b"LOGGED");
        let [descriptors, _, used] = driver.area_addresses();
        let used = if ring & RING_PACKED == 0 { used } else { descriptors };
        let logged = [used.0, PLUGGED + 0x3000, PLUGGED + 0x2000, PLUGGED + 0x4000].map(|addr| is_logged(&log, addr));
        assert_eq!(logged, [true, true, false, false]);
    }
}

fn is_logged(log: &File, addr: u64) -> bool {
    let (mut byte, page) = ([0], addr / 0x1000);
    log.read_exact_at(&mut byte, page / 8).unwrap();
    byte[0] & 1 << (page % 8) != 0
}
