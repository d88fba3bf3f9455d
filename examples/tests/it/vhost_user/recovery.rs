//! Back ends that are killed, and the next one goes on.

use std::collections::HashMap;

use rustix::process::Signal;
use virtio_fake_driver::DriverChain;

use super::back_end::{BackEnd, NET, RNG, socket_path};
use super::driver::PACKED;
use super::front_end::{Answer, FEATURES, FrontEnd, GET_INFLIGHT_FD, SET_INFLIGHT_FD, memory_file};
use super::guest::{Guest, inflight};
use crate::blk_file::TempFile;
use crate::disk::pattern;

const SECTOR: usize = 512;
const SIZE: usize = 1 << 20;

/// Returns a request to write a sector.
fn write(sector: usize, bytes: &[u8]) -> DriverChain {
    let header = [&1_u32.to_le_bytes()[..], &[0; 4], &(sector as u64).to_le_bytes()].concat();
    DriverChain::new().readable(header).readable(bytes).writable(1)
}

/// Returns a request to read a sector.
fn read(sector: usize) -> DriverChain {
    let header = [&[0; 8][..], &(sector as u64).to_le_bytes()].concat();
    DriverChain::new().readable(header).writable(SECTOR as u32).writable(1)
}

/// Kills a back end again and again, with requests on their way. The front end always says what it knew first of where
/// the ring is.
fn check_disk(features: u64) {
    let mut model = pattern(SIZE);
    let file = TempFile::new(&model);
    let args = ["--blk-file", file.path().to_str().unwrap()];
    let socket = socket_path();
    let mut guest = Guest::new(features, 64, 0x10_0000, 1 << 20);
    let mut outstanding = HashMap::new();
    let mut next = 0_usize;
    for round in 0..24 {
        let back_end = BackEnd::start_at(socket.clone(), &args);
        let mut front_end = guest.connect(&socket);
        guest.hand_over_record(&mut front_end, 1);
        guest.start(&mut front_end, guest.new_base());
        // What one back end had fetched and not answered, and more.
        for _ in 0..20 {
            let sector = next * 7 % (SIZE / SECTOR);
            let place = sector * SECTOR..(sector + 1) * SECTOR;
            let bytes = [(next % 251) as u8; SECTOR];
            let is_write = next % 3 != 0;
            let request = if is_write { write(sector, &bytes) } else { read(sector) };
            let Some(id) = guest.add(&request) else { break };
            if is_write {
                model[place].copy_from_slice(&bytes);
                assert_eq!(outstanding.insert(id, None), None);
            } else {
                assert_eq!(outstanding.insert(id, Some(model[place].to_vec())), None);
            }
            next += 1;
        }
        guest.kick();
        // Some rounds wait for more than others before the end.
        let mut answered = 0;
        while answered < round % 5 * 4 {
            answered += settle(&mut guest, &mut outstanding);
        }
        back_end.signal(Signal::KILL);
        drop(back_end);
    }
    let back_end = BackEnd::start_at(socket.clone(), &args);
    let mut front_end = guest.connect(&socket);
    guest.hand_over_record(&mut front_end, 1);
    guest.start(&mut front_end, guest.new_base());
    while !outstanding.is_empty() {
        settle(&mut guest, &mut outstanding);
    }
    drop(front_end);
    back_end.end();
    assert!(file.bytes() == model, "the file holds something else");
}

/// Waits for answers, and checks that each is one to a request that has none yet.
fn settle(guest: &mut Guest, outstanding: &mut HashMap<u16, Option<Vec<u8>>>) -> usize {
    let all = guest.wait();
    for used in &all {
        let read = outstanding.remove(&used.id).expect("it has no answer yet");
        let (status, data) = used.written().split_last().unwrap();
        assert_eq!(*status, 0);
        assert!(read.is_none_or(|read| read == data), "read something else");
    }
    all.len()
}

/// RECORD-1, RECORD-2
#[test]
fn disk_that_is_killed_answers_every_request_once() {
    check_disk(0);
    check_disk(PACKED);
}

/// QEMU keeps no record for a source of entropy. That of another front end is served as a disk's is.
#[test]
fn entropy_that_is_killed_goes_on_from_a_record() {
    for features in [0, PACKED] {
        let socket = socket_path();
        let mut guest = Guest::new(features, 16, 0x10_0000, 1 << 16);
        let mut added = 0;
        for round in 0..10 {
            let back_end = BackEnd::start_program_at(RNG, socket.clone(), &[]);
            let mut front_end = guest.connect(&socket);
            guest.hand_over_record(&mut front_end, 1);
            guest.start(&mut front_end, guest.new_base());
            added += (0..8).filter(|_| guest.add(&DriverChain::new().writable(64)).is_some()).count();
            guest.kick();
            let mut seen = 0;
            while seen < round % 3 {
                let used = guest.wait();
                assert!(used.iter().all(|used| used.written().len() == 64));
                (seen, added) = (seen + used.len(), added - used.len());
            }
            if round == 9 {
                while added > 0 {
                    added -= guest.wait().len();
                }
            }
            back_end.signal(Signal::KILL);
        }
    }
}

/// What QEMU does for all devices but disks: it says where the ring is by the used index, which is in memory. A device
/// that answers in order loses nothing then. Of a packed ring there is no such index in memory.
#[test]
fn split_ring_without_a_record_goes_on_from_the_used_index() {
    let socket = socket_path();
    let mut guest = Guest::new(0, 16, 0x10_0000, 1 << 16);
    let (mut added, mut base) = (0, 0);
    for round in 0..10 {
        let back_end = BackEnd::start_program_at(RNG, socket.clone(), &[]);
        let mut front_end = guest.connect(&socket);
        guest.start(&mut front_end, base);
        added += (0..8).filter(|_| guest.add(&DriverChain::new().writable(64)).is_some()).count();
        guest.kick();
        while round == 9 && added > 0 {
            added -= guest.wait().len();
        }
        back_end.signal(Signal::KILL);
        drop(back_end);
        added -= guest.driver.reap_all().unwrap().len();
        base = u32::from(guest.driver.used_position());
    }
}

/// A network device sends each packet, once more if it cannot know that it did, and has all buffers for those that
/// come.
#[test]
fn network_that_is_killed_goes_on_from_a_record() {
    for features in [0, PACKED] {
        let socket = socket_path();
        let mut guest = Guest::new(features, 16, 0x10_0000, 1 << 16);
        // Buffers for packets that never come: a device holds them as long as it runs.
        let ids: Vec<_> = (0..8).filter_map(|_| guest.add(&DriverChain::new().writable(2048))).collect();
        for _ in 0..3 {
            let back_end = BackEnd::start_program_at(NET, socket.clone(), &["--mode", "loopback"]);
            let mut front_end = guest.connect(&socket);
            guest.hand_over_record(&mut front_end, 2);
            guest.start(&mut front_end, guest.new_base());
            guest.kick();
            back_end.check_rings(1);
            // It goes as if it had not been killed: nothing was used.
            back_end.signal(Signal::KILL);
            drop(back_end);
            assert!(guest.driver.reap_all().unwrap().is_empty());
        }
        assert_eq!(ids.len(), 8);
    }
}

/// A front end that asks for a record of more, or hands over what is none.
#[test]
fn record_that_is_none_is_refused() {
    let back_end = BackEnd::start(&["--null", "4096"]);
    for asked in [inflight(0, 0, 2, 64), inflight(0, 0, 1, 2048), inflight(0, 0, 0, 64), inflight(0, 0, 1, 0)] {
        let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES);
        assert!(front_end.ask_for_file(GET_INFLIGHT_FD, &asked).is_none(), "{asked:?}");
    }
    let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES);
    let (described, file) = front_end.ask_for_file(GET_INFLIGHT_FD, &inflight(0, 0, 1, 64)).unwrap();
    let size = u64::from_le_bytes(described[..8].try_into().unwrap());
    assert_eq!(file.metadata().unwrap().len(), size);
    assert!(file.set_len(size - 1).is_err(), "it is sealed");
    let small = memory_file(8);
    let bad = [(size + 1, 0), (size, 1), (0, 0), (u64::MAX, 1), (1, u64::MAX), (u64::MAX, u64::MAX)];
    for (len, offset) in bad {
        let described = inflight(len, offset, 1, 64);
        assert_eq!(front_end.set_file(SET_INFLIGHT_FD, &described, &file), Answer::No, "{len:#x} at {offset:#x}");
    }
    assert_eq!(front_end.set_file(SET_INFLIGHT_FD, &inflight(size, 0, 1, 64), &small), Answer::No);
    assert_eq!(front_end.set_file(SET_INFLIGHT_FD, &inflight(size, 0, 1, 64), &file), Answer::Yes);
    drop(front_end);
    let said = back_end.end_with(Signal::TERM);
    assert!(said.contains("cannot be recorded"), "{said}");
}
