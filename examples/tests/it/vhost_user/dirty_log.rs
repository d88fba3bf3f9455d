//! The log of the pages that a device has written.

use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use rustix::process::Signal;
use virtio_fake_driver::DriverChain;

use super::back_end::{BackEnd, RNG, wait_readable};
use super::driver::PACKED;
use super::front_end::*;
use super::guest::Guest;

pub(crate) const PAGE: u64 = 4096;
pub(crate) const LOG_ALL: u64 = 1 << 26;
const START: u64 = 0x10_0000;
const LEN: u64 = 1 << 20;

/// Returns the pages that differ.
fn changed(before: &[u8], after: &[u8]) -> Vec<u64> {
    let pages = before.chunks(PAGE as usize).zip(after.chunks(PAGE as usize)).enumerate();
    pages.filter(|(_, (before, after))| before != after).map(|(page, _)| START / PAGE + page as u64).collect()
}

/// A log, as a front end shares it: behind something else in its file, and before something else.
pub(crate) struct Log {
    file: std::fs::File,
    len: u64,
}

impl Log {
    const OFFSET: u64 = 0x1000;

    pub(crate) fn new(len: u64) -> Self {
        let file = memory_file(Self::OFFSET + len + 0x1000);
        Self { file, len }
    }

    pub(crate) fn share(&self, front_end: &mut FrontEnd) -> bool {
        let body = [self.len.to_le_bytes(), Self::OFFSET.to_le_bytes()].concat();
        front_end.ask_with(SET_LOG_BASE, &body, &self.file).is_some()
    }

    /// Takes the pages that are marked, and checks that nothing else is.
    pub(crate) fn take(&self) -> Vec<u64> {
        let mut bytes = vec![0; self.file.metadata().unwrap().len() as usize];
        self.file.read_exact_at(&mut bytes, 0).unwrap();
        self.file.write_all_at(&vec![0; bytes.len()], 0).unwrap();
        let log = Self::OFFSET as usize..(Self::OFFSET + self.len) as usize;
        assert!(bytes[..log.start].iter().chain(&bytes[log.end..]).all(|byte| *byte == 0), "beyond the log");
        let pages = (0..self.len * 8).filter(|page| bytes[log.start + *page as usize / 8] & 1 << (page % 8) != 0);
        pages.collect()
    }
}

/// Answers some requests, each of several pages.
fn exercise(guest: &mut Guest) {
    for len in [1, 100, 5000, 12_000, 1, 70_000] {
        guest.add(&DriverChain::new().writable_cut(len, &[len / 2])).unwrap();
        guest.kick();
        assert_eq!(guest.wait().len(), 1);
    }
}

/// Returns `pages` without those in `others`.
fn without(pages: &[u64], others: &[u64]) -> Vec<u64> {
    pages.iter().filter(|page| !others.contains(page)).copied().collect()
}

fn check(features: u64) {
    let back_end = BackEnd::start_program(RNG, &[]);
    let mut guest = Guest::new(features, 16, START, LEN);
    let mut front_end = guest.connect(back_end.socket());
    guest.start(&mut front_end, guest.new_base());
    exercise(&mut guest);
    // On, under a running ring, in QEMU's order.
    let log = Log::new((START + LEN) / PAGE / 8);
    let set = |front_end: &mut FrontEnd, features: u64| {
        assert_eq!(front_end.set(SET_FEATURES, &features.to_le_bytes()), Answer::Yes);
    };
    assert!(log.share(&mut front_end));
    exercise(&mut guest);
    assert_eq!(log.take(), [0_u64; 0], "nobody has asked for that");
    set(&mut front_end, features | FEATURES | LOG_ALL);
    let [.., device] = guest.driver.area_addresses();
    assert_eq!(front_end.set(SET_VRING_ADDR, &guest.addresses(Some(device.0))), Answer::Yes);
    for _ in 0..20 {
        let (_, before) = (log.take(), guest.mem.bytes());
        exercise(&mut guest);
        // The driver has written its part of the ring. Whatever it has written elsewhere are the buffers.
        let marked = log.take();
        let missing = without(&changed(&before, &guest.mem.bytes()), &marked);
        let own = pages_of_the_driver(&guest);
        assert_eq!(without(&missing, &own), [0_u64; 0], "written, and not marked");
    }
    // Off again.
    assert_eq!(front_end.set(SET_VRING_ADDR, &guest.addresses(None)), Answer::Yes);
    set(&mut front_end, features | FEATURES);
    log.take();
    exercise(&mut guest);
    assert_eq!(log.take(), [0_u64; 0]);
    // On without the part for the ring, and the ring stops: from then on nothing is written.
    set(&mut front_end, features | FEATURES | LOG_ALL);
    exercise(&mut guest);
    assert!(!log.take().is_empty());
    front_end.stop_ring(0).unwrap();
    log.take();
    guest.add(&DriverChain::new().writable(1)).unwrap();
    guest.kick();
    assert!(front_end.stop_ring(0).is_some());
    assert_eq!(log.take(), [0_u64; 0]);
    drop(front_end);
    back_end.end();
}

/// Returns the pages that only the driver writes, and those of the ring that it shares with the device.
fn pages_of_the_driver(guest: &Guest) -> Vec<u64> {
    let [descriptor, driver, _] = guest.driver.area_addresses();
    // The descriptors of the 16 of the queue, and the available ring or the driver's event suppression.
    [descriptor.0, descriptor.0 + 255, driver.0, driver.0 + 37].iter().map(|addr| addr / PAGE).collect()
}

#[test]
fn every_page_that_is_written_is_in_the_log() {
    check(0);
    check(PACKED);
}

/// The used ring is marked where the front end says, beyond the memory as well, and never beyond the end of the log.
#[test]
fn used_ring_is_marked_where_the_front_end_says() {
    for features in [0, PACKED] {
        let back_end = BackEnd::start_program(RNG, &[]);
        let mut guest = Guest::new(features, 16, START, LEN);
        let mut front_end = guest.connect(back_end.socket());
        guest.start(&mut front_end, guest.new_base());
        let log = Log::new((START + LEN) / PAGE / 8 + 8);
        assert!(log.share(&mut front_end));
        let last = (START + LEN) / PAGE + 63;
        for (addr, expected) in
            [(last * PAGE, Some(last)), ((last + 1) * PAGE, None), (u64::MAX - 1, None), (u64::MAX, None)]
        {
            assert_eq!(front_end.set(SET_VRING_ADDR, &guest.addresses(Some(addr))), Answer::Yes);
            log.take();
            exercise(&mut guest);
            let marked = log.take();
            let beyond = marked.iter().copied().find(|page| *page >= (START + LEN) / PAGE);
            assert_eq!(beyond, expected, "{addr:#x}");
        }
        drop(front_end);
        back_end.end();
    }
}

#[test]
fn log_that_is_too_small_or_not_in_its_file_is_refused() {
    let back_end = BackEnd::start_program(RNG, &[]);
    let needed = (START + LEN) / PAGE / 8;
    for (len, offset) in
        [(needed - 1, 0), (needed, 1 << 20), (0, 0), (u64::MAX, 1), (u64::MAX, u64::MAX), (needed, u64::MAX)]
    {
        let guest = Guest::new(0, 16, START, LEN);
        let mut front_end = guest.connect(back_end.socket());
        let body = [len.to_le_bytes(), offset.to_le_bytes()].concat();
        // It has an answer of its own, so that it cannot be refused by another.
        assert!(front_end.ask_with(SET_LOG_BASE, &body, memory_file(1 << 20)).is_none(), "{len:#x} at {offset:#x}");
    }
    let said = back_end.end_with(Signal::TERM);
    assert!(said.contains("a log of 63 bytes is too small: it must have 64 or more"), "{said}");
}

#[test]
fn front_end_is_told_of_new_pages() {
    let back_end = BackEnd::start_program(RNG, &[]);
    let mut guest = Guest::new(0, 16, START, LEN);
    let mut front_end = guest.connect(back_end.socket());
    let event = event_fd();
    assert_eq!(front_end.set_file(SET_LOG_FD, &[], &event), Answer::Yes);
    assert_eq!(front_end.set_file(SET_LOG_FD, &[], memory_file(1)), Answer::No);
    let log = Log::new((START + LEN) / PAGE / 8);
    assert!(log.share(&mut front_end));
    assert_eq!(front_end.set(SET_FEATURES, &(FEATURES | LOG_ALL).to_le_bytes()), Answer::Yes);
    guest.start(&mut front_end, 0);
    exercise(&mut guest);
    wait_readable(event.as_fd(), "the signal");
    drop(front_end);
    back_end.end_with(Signal::TERM);
}
