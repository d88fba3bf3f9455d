//! Memory that comes and goes under rings that run.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::thread;

use adapter_test_support::{REGIONS, answer, question, shared_file};
use vhost::vhost_user::VhostUserFrontend;
use vhost::{VhostBackend, VhostUserDirtyLogRegion, VhostUserMemoryRegionInfo};
use virtio_fake_driver::DriverChain;
use virtio_mem_traits::DriverAddr;
use virtio_vhost_user::Worker;

use crate::devices::{all, handing_over, handing_over_as};
use crate::front_end::{FrontEnd, Running};
use crate::shapes::FORMATS;

/// What a front end does with the region of a ring, and undoes.
type Away = (&'static str, fn(&mut FrontEnd), fn(&mut FrontEnd));

const AWAY: [Away; 3] = [
    ("removed", |front_end| front_end.remove(REGIONS[0]), |front_end| front_end.add(REGIONS[0])),
    (
        "left out of a table",
        |front_end| set_table(front_end, &REGIONS[1..]),
        |front_end| set_table(front_end, &REGIONS),
    ),
    ("all of it removed", remove_all, |front_end| REGIONS.iter().rev().for_each(|at| front_end.add(*at))),
];

fn set_table(front_end: &mut FrontEnd, regions: &[u64]) {
    let regions: Vec<_> = regions.iter().map(|at| front_end.region(*at)).collect();
    front_end.connection.set_mem_table(&regions).unwrap();
}

fn remove_all(front_end: &mut FrontEnd) {
    REGIONS.iter().for_each(|at| front_end.remove(*at));
}

#[test]
fn ring_whose_region_is_away_rests_until_it_is_back() {
    for (what, away, back) in AWAY {
        for (name, device) in all() {
            let back_end = Running::new(device);
            for ring in FORMATS {
                let mut front_end = FrontEnd::new(&back_end, ring);
                let mut drivers = [0, 1].map(|index| front_end.driver(index, 8));
                let signals = [0, 1].map(|index| front_end.start(index, &drivers[index]));
                assert_eq!(signals[0].ask(&mut drivers[0], name), name.to_uppercase());
                away(&mut front_end);
                signals[0].send(&mut drivers[0], &question(what));
                signals[0].kick();
                back(&mut front_end);
                let used = signals[0].receive(&mut drivers[0], 1);
                assert_eq!(used[0].written(), what.to_uppercase().as_bytes(), "{name}, {what}, {ring:#x}");
                for (driver, signals) in drivers.iter_mut().zip(&signals) {
                    assert_eq!(signals.ask(driver, name), name.to_uppercase());
                }
            }
        }
    }
}

#[test]
fn ring_that_rests_can_be_stopped_and_its_base_is_where_it_was() {
    for (name, device) in all() {
        let back_end = Running::new(device);
        let mut front_end = FrontEnd::new(&back_end, 0);
        let mut driver = front_end.driver(0, 8);
        let signals = front_end.start(0, &driver);
        (0..3).for_each(|_| assert_eq!(signals.ask(&mut driver, name), name.to_uppercase()));
        front_end.remove(REGIONS[0]);
        assert_eq!(front_end.connection.get_vring_base(0).unwrap(), 3, "{name}");
    }
}

#[test]
fn memory_changes_with_chains_in_flight_and_none_is_waited_for() {
    for (what, away, back) in AWAY {
        for ring in FORMATS {
            let (device, chains, asked) = handing_over();
            let back_end = Running::new(device);
            let mut front_end = FrontEnd::new(&back_end, ring);
            let mut driver = front_end.driver(0, 8);
            let signals = front_end.start(0, &driver);
            signals.send(&mut driver, &question("before"));
            let kept = chains.recv().unwrap();
            away(&mut front_end);
            signals.send(&mut driver, &question("away"));
            signals.kick();
            back(&mut front_end);
            let later = chains.recv().unwrap();
            answer(later);
            answer(kept);
            let used = signals.receive(&mut driver, 2);
            assert_eq!([used[0].written(), used[1].written()], [&b"AWAY"[..], b"BEFORE"], "{what}, {ring:#x}");
            assert!(asked.try_recv().is_err());
        }
    }
}

#[test]
fn memory_stays_until_chains_have_returned_whose_worker_keeps_it() {
    for (what, away, back) in AWAY {
        for ring in FORMATS {
            let (device, chains, asked) = handing_over_as(Worker::keeping_memory);
            let back_end = Running::new(device);
            let mut front_end = FrontEnd::new(&back_end, ring);
            let mut driver = front_end.driver(0, 8);
            let signals = front_end.start(0, &driver);
            signals.send(&mut driver, &question("before"));
            let kept = chains.recv().unwrap();
            let mut front_end = thread::scope(|scope| {
                let away = scope.spawn(move || {
                    away(&mut front_end);
                    front_end
                });
                asked.recv().unwrap();
                assert!(!away.is_finished());
                answer(kept);
                away.join().unwrap()
            });
            assert_eq!(driver.reap_all().unwrap()[0].written(), b"BEFORE", "{what}, {ring:#x}");
            back(&mut front_end);
            signals.send(&mut driver, &question("after"));
            answer(chains.recv().unwrap());
            assert_eq!(signals.receive(&mut driver, 1)[0].written(), b"AFTER", "{what}, {ring:#x}");
        }
    }
}

/// Nothing goes away that a chain could be in.
#[test]
fn memory_that_comes_waits_for_no_chain() {
    for ring in FORMATS {
        let (device, chains, asked) = handing_over_as(Worker::keeping_memory);
        let back_end = Running::new(device);
        let mut front_end = FrontEnd::new(&back_end, ring);
        let mut driver = front_end.driver(0, 8);
        front_end.remove(REGIONS[2]);
        let signals = front_end.start(0, &driver);
        signals.send(&mut driver, &question("before"));
        let kept = chains.recv().unwrap();
        front_end.add(REGIONS[2]);
        set_table(&mut front_end, &REGIONS);
        answer(kept);
        assert_eq!(signals.receive(&mut driver, 1)[0].written(), b"BEFORE", "{ring:#x}");
        assert!(asked.try_recv().is_err());
    }
}

#[test]
fn buffers_in_a_region_that_came_later_are_served() {
    for (name, device) in all() {
        let back_end = Running::new(device);
        for ring in FORMATS {
            let mut front_end = FrontEnd::new(&back_end, ring);
            let mut driver = front_end.driver(0, 8);
            front_end.remove(REGIONS[2]);
            let signals = front_end.start(0, &driver);
            for _ in 0..3 {
                assert_eq!(signals.ask(&mut driver, name), name.to_uppercase());
                front_end.add(REGIONS[2]);
                let chain = DriverChain::new().readable("there").at(DriverAddr(REGIONS[2] + 0x100)).writable(5);
                signals.send(&mut driver, &chain);
                assert_eq!(signals.receive(&mut driver, 1)[0].written(), b"THERE", "{name}, {ring:#x}");
                front_end.remove(REGIONS[2]);
            }
        }
    }
}

/// Returns the region of a file that is there from `at` on, for the guest and the front end.
fn region(file: &File, at: u64, len: u64) -> VhostUserMemoryRegionInfo {
    VhostUserMemoryRegionInfo {
        guest_phys_addr: at,
        memory_size: len,
        userspace_addr: at,
        mmap_offset: 0,
        mmap_handle: file.as_raw_fd(),
    }
}

/// A process without addresses ends.
#[test]
fn regions_that_would_take_more_than_half_of_all_addresses_are_refused() {
    // Not all of what can be taken: other tests take some at the same time.
    const PART: u64 = 3 << 42;
    let back_end = Running::new(all().remove(0).1);
    let mut front_end = FrontEnd::new(&back_end, 0);
    let file = shared_file(PART);
    let added = (1..16).take_while(|at| front_end.connection.add_mem_region(&region(&file, at << 44, PART)).is_ok());
    let added = added.count() as u64;
    let stack = (&raw const added).addr() as u64;
    assert!(0 < added && added * PART <= stack.next_power_of_two() / 2, "{added} regions of {PART:#x}");
    let mut driver = front_end.driver(0, 8);
    let signals = front_end.start(0, &driver);
    assert_eq!(signals.ask(&mut driver, "served"), "SERVED");
}

/// What is written there would be marked nowhere.
#[test]
fn memory_beyond_the_end_of_the_log_is_refused_while_pages_are_marked() {
    const LOG_ALL: u64 = 1 << 26;
    let (beyond, file, marks) = (0x4000_0000, shared_file(0x1_0000), shared_file(0x1000));
    let back_end = Running::new(all().remove(0).1);
    for ring in FORMATS {
        let mut front_end = FrontEnd::new(&back_end, ring);
        let mut driver = front_end.driver(0, 8);
        let signals = front_end.start(0, &driver);
        let log = |len| VhostUserDirtyLogRegion { mmap_size: len, mmap_offset: 0, mmap_handle: marks.as_raw_fd() };
        front_end.connection.set_log_base(0, Some(log(0x1000))).unwrap();
        front_end.set_features(LOG_ALL);
        let region = region(&file, beyond, 0x1_0000);
        assert!(front_end.connection.add_mem_region(&region).is_err(), "{ring:#x}");
        assert_eq!(signals.ask(&mut driver, "served"), "SERVED");
        // Nothing is marked any more, so that it does no harm. It does when pages are to be marked again.
        front_end.set_features(0);
        front_end.connection.add_mem_region(&region).unwrap();
        assert!(front_end.connection.set_features(front_end.features() | LOG_ALL).is_err(), "{ring:#x}");
        assert_eq!(signals.ask(&mut driver, "served"), "SERVED");
    }
}

#[test]
fn one_large_file_in_many_slots_takes_no_more_addresses_than_it_has_bytes() {
    const SLOT: u64 = 4 << 30;
    let back_end = Running::new(all().remove(0).1);
    let mut front_end = FrontEnd::new(&back_end, 0);
    let file = shared_file(256 * SLOT);
    for slot in 0..256 {
        let region = VhostUserMemoryRegionInfo {
            guest_phys_addr: (slot + 1) << 40,
            memory_size: SLOT,
            userspace_addr: (slot + 1) << 40,
            mmap_offset: slot * SLOT,
            mmap_handle: file.as_raw_fd(),
        };
        front_end.connection.add_mem_region(&region).unwrap();
    }
    // In a table of one region, of which nobody has the first byte of its file.
    let mut driver = front_end.driver(0, 8);
    let signals = front_end.start(0, &driver);
    signals.send(&mut driver, &DriverChain::new().readable("x").writable(1));
    assert_eq!(signals.receive(&mut driver, 1)[0].written(), b"X");
}
