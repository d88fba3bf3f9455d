//! What a back end records by itself, and the next one goes on from.

use std::path::Path;
use std::sync::Arc;

use adapter_test_support::{answer, question};
use vhost::VhostBackend;
use virtio_fake_driver::features::{EVENT_IDX, RING_PACKED};

use crate::devices::{TestDevice, all, handing_over};
use crate::front_end::{FrontEnd, Running};
use crate::shapes::FORMATS;

/// Where a packed ring begins. It is what a front end says that knows no better.
const BEGINNING: u16 = 0x8000;

/// The features of the rings that are recorded.
const RECORDED: [u64; 2] = [RING_PACKED, RING_PACKED | EVENT_IDX];

fn device() -> TestDevice {
    all().remove(0).1
}

/// The front end never learns where the ring is, as if each process had been killed.
#[test]
fn next_process_goes_on_from_its_record() {
    let folder = tempfile::tempdir().unwrap();
    for (case, ring) in RECORDED.iter().enumerate() {
        let record = folder.path().join(case.to_string());
        let mut back_end = Running::recording(device(), Some(&record));
        let mut front_end = FrontEnd::new(&back_end, *ring);
        let mut driver = front_end.driver(0, 8);
        let mut signals = front_end.start(0, &driver);
        for life in 0..5 {
            for round in 0..7 {
                let text = format!("life {life} round {round}");
                assert_eq!(signals.ask(&mut driver, &text), text.to_uppercase());
            }
            let memory = Arc::clone(&front_end.memory);
            drop((front_end, back_end));
            driver.add(&question("while nobody is there")).unwrap();
            back_end = Running::recording(device(), Some(&record));
            front_end = FrontEnd::of(&back_end, *ring, memory);
            signals = front_end.start_with(0, &driver, BEGINNING, signals);
            assert_eq!(signals.receive(&mut driver, 1)[0].written(), b"WHILE NOBODY IS THERE");
        }
    }
}

#[test]
fn chain_in_flight_is_served_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    for (case, ring) in RECORDED.iter().enumerate() {
        let record = folder.path().join(case.to_string());
        let (device, chains, _) = handing_over();
        let back_end = Running::recording(device, Some(&record));
        let mut front_end = FrontEnd::new(&back_end, *ring);
        let mut driver = front_end.driver(0, 8);
        let signals = front_end.start(0, &driver);
        ["first", "second"].iter().for_each(|text| signals.send(&mut driver, &question(text)));
        let kept: Vec<_> = chains.iter().take(2).collect();
        let memory = Arc::clone(&front_end.memory);
        drop((front_end, back_end));
        drop(kept);
        let (device, chains, _) = handing_over();
        let back_end = Running::recording(device, Some(&record));
        let mut front_end = FrontEnd::of(&back_end, *ring, memory);
        let signals = front_end.start_with(0, &driver, BEGINNING, signals);
        chains.iter().take(2).for_each(answer);
        let used = signals.receive(&mut driver, 2);
        assert_eq!([used[0].written(), used[1].written()], [b"FIRST".as_slice(), b"SECOND"]);
    }
}

/// Starts a ring anew, and checks that it is served from its beginning.
fn check_begins(record: &Path, front_end: &mut FrontEnd, ring: u64) {
    let mut driver = front_end.driver(0, 8);
    let signals = front_end.start(0, &driver);
    assert_eq!(signals.ask(&mut driver, "anew"), "ANEW", "{ring:#x}, {}", record.display());
}

#[test]
fn record_of_a_ring_that_was_stopped_or_of_another_guest_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let back_end = Running::recording(device(), Some(&record));
    for ring in FORMATS {
        let mut front_end = FrontEnd::new(&back_end, ring);
        check_begins(&record, &mut front_end, ring);
        front_end.connection.get_vring_base(0).unwrap();
        check_begins(&record, &mut front_end, ring);
        front_end.connection.get_vring_base(0).unwrap();
        check_begins(&record, &mut front_end, ring);
    }
}

/// A wrong path costs nobody a file.
#[test]
fn file_with_something_else_in_it_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("precious");
    for content in [vec![7; 100], vec![0; 1 << 16]] {
        std::fs::write(&file, &content).unwrap();
        let back_end = Running::recording(device(), Some(&file));
        let mut front_end = FrontEnd::new(&back_end, RING_PACKED);
        check_begins(&file, &mut front_end, RING_PACKED);
        assert!(std::fs::read(&file).unwrap() == content);
    }
}

#[test]
fn record_that_cannot_be_made_is_done_without() {
    let back_end = Running::recording(device(), Some(Path::new("/nonexistent/record")));
    let mut front_end = FrontEnd::new(&back_end, 0);
    check_begins(Path::new("none"), &mut front_end, 0);
}
