//! Front ends that say what makes no sense.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use rustix::process::Signal;

use super::back_end::{BackEnd, wait_readable};
use super::front_end::*;
use Answer::{Closed, No, Yes};

const PAGE: u64 = 0x1000;

/// Memory of 16 pages.
const MEMORY: Region = Region { guest: 0x1_0000, size: 16 * PAGE, user: 0x7f00_0000_0000, offset: 0 };

/// Returns where a ring is said to be: descriptors, used, available.
fn areas(index: u32, descriptor: u64, used: u64, available: u64) -> Vec<u8> {
    let areas = [descriptor, used, available, 0].map(u64::to_le_bytes).concat();
    [pair(index, 0), areas].concat()
}

/// Shares memory.
fn share(front_end: &mut FrontEnd) {
    assert_eq!(front_end.add_memory(MEMORY, memory_file(16 * PAGE)), Yes);
}

/// Sets up everything of the first ring but its kick.
fn set_up(front_end: &mut FrontEnd, base: u32) {
    place(front_end, base);
    assert_eq!(front_end.set_ring(SET_VRING_ENABLE, 0, 1), Yes);
}

/// Does the same, and leaves the ring as it is: disabled or not.
fn place(front_end: &mut FrontEnd, base: u32) {
    share(front_end);
    assert_eq!(front_end.set_ring(SET_VRING_NUM, 0, 16), Yes);
    assert_eq!(front_end.set_ring(SET_VRING_BASE, 0, base), Yes);
    let at = MEMORY.user;
    assert_eq!(front_end.set(SET_VRING_ADDR, &areas(0, at, at + PAGE, at + 2 * PAGE)), Yes);
    assert_eq!(front_end.set_event(SET_VRING_CALL, 0, event_fd()), Yes);
}

/// Lets a front end say one thing that makes no sense, and checks what the back end makes of it: a refusal leaves the
/// connection as it was, unless it was no message at all, and whatever happens, there is a place for the next one.
#[track_caller]
fn check(back_end: &BackEnd, what: &str, expected: Answer, say: impl FnOnce(&mut FrontEnd) -> Answer) {
    let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES);
    let mut answer = say(&mut front_end);
    if answer != Closed && front_end.ask(GET_QUEUE_NUM, &[]) != Some(2_u64.to_le_bytes().to_vec()) {
        answer = Closed;
    }
    assert_eq!(answer, expected, "{what}");
    drop(front_end);
    drop(FrontEnd::agreed(back_end.socket(), FEATURES));
}

type Say<'s> = &'s dyn Fn(&mut FrontEnd) -> Answer;

/// A table of checks on one back end.
#[track_caller]
fn check_all(table: &[(&str, Answer, Say<'_>)]) {
    let back_end = BackEnd::start(&["--null", "4096", "--queues", "2", "--queue-size", "256"]);
    for (what, expected, say) in table {
        check(&back_end, what, *expected, say);
    }
    back_end.end_with(Signal::TERM);
}

#[test]
fn features_that_were_not_offered_are_refused() {
    let set = |features: u64| move |front_end: &mut FrontEnd| front_end.set(SET_FEATURES, &features.to_le_bytes());
    check_all(&[
        ("no VERSION_1", No, &set(0)),
        ("IN_ORDER", No, &set(FEATURES | 1 << 35)),
        ("ACCESS_PLATFORM", No, &set(FEATURES | 1 << 33)),
        ("NOTIFY_ON_EMPTY", No, &set(FEATURES | 1 << 24)),
        ("all", No, &set(u64::MAX)),
        ("protocol: all", Closed, &|front_end| front_end.set(SET_PROTOCOL_FEATURES, &[0xff; 8])),
        ("protocol: PAGEFAULT", Closed, &|front_end| front_end.set(SET_PROTOCOL_FEATURES, &(1_u64 << 8).to_le_bytes())),
    ]);
}

#[test]
fn rings_that_cannot_be_are_refused() {
    let set = |request, index, value| move |front_end: &mut FrontEnd| front_end.set_ring(request, index, value);
    let place = |descriptor, used, available| {
        move |front_end: &mut FrontEnd| {
            share(front_end);
            front_end.set(SET_VRING_ADDR, &areas(0, descriptor, used, available))
        }
    };
    let at = MEMORY.user;
    check_all(&[
        ("no size", No, &set(SET_VRING_NUM, 0, 0)),
        ("over the limit", No, &set(SET_VRING_NUM, 0, 257)),
        ("17 bits", No, &set(SET_VRING_NUM, 0, 0x1_0010)),
        ("no such ring: size", No, &set(SET_VRING_NUM, 2, 16)),
        ("base of 17 bits", No, &set(SET_VRING_BASE, 0, 0x1_0000)),
        ("no such ring: base", No, &set(SET_VRING_BASE, u32::MAX, 0)),
        ("no such ring: enable", No, &set(SET_VRING_ENABLE, 2, 1)),
        ("no such ring: areas", No, &|front_end| {
            share(front_end);
            front_end.set(SET_VRING_ADDR, &areas(2, at, at, at))
        }),
        ("enable what", Closed, &set(SET_VRING_ENABLE, 0, 2)),
        ("areas before memory", No, &|front_end| front_end.set(SET_VRING_ADDR, &areas(0, at, at, at))),
        ("descriptors nowhere", No, &place(0, at, at)),
        ("used ring at the end", No, &place(at, at + MEMORY.size, at)),
        ("available ring before memory", No, &place(at, at, at - 2)),
        ("guest addresses", No, &place(MEMORY.guest, MEMORY.guest, MEMORY.guest)),
        ("misaligned", Closed, &place(at + 1, at, at)),
        ("no such ring: stop", Yes, &|front_end| {
            front_end.stop_ring(2).map_or(Closed, |base| if base == 0 { Yes } else { No })
        }),
    ]);
}

#[test]
fn rings_that_cannot_run_are_refused_when_they_are_started() {
    let at = MEMORY.user;
    let start = |base: u32, areas: Vec<u8>| {
        move |front_end: &mut FrontEnd| {
            set_up(front_end, base);
            assert_eq!(front_end.set(SET_VRING_ADDR, &areas), Yes);
            front_end.set_event(SET_VRING_KICK, 0, event_fd())
        }
    };
    let good = areas(0, at, at + PAGE, at + 2 * PAGE);
    check_all(&[
        ("nothing wrong", Yes, &start(0, good)),
        ("descriptors go beyond memory", No, &start(0, areas(0, at + MEMORY.size - 16, at, at))),
        ("available ring goes beyond memory", No, &start(0, areas(0, at, at, at + MEMORY.size - 4))),
        ("used ring goes beyond memory", No, &start(0, areas(0, at, at + MEMORY.size - 4, at))),
        ("no size", No, &|front_end| {
            share(front_end);
            assert_eq!(front_end.set(SET_VRING_ADDR, &areas(0, at, at, at)), Yes);
            assert_eq!(front_end.set_ring(SET_VRING_ENABLE, 0, 1), Yes);
            front_end.set_event(SET_VRING_KICK, 0, event_fd())
        }),
    ]);
}

#[test]
fn a_ring_can_be_enabled_before_the_features_are_known() {
    for enabled in [0, 1] {
        let back_end = BackEnd::start(&["--null", "4096"]);
        let mut front_end = FrontEnd::connect(back_end.socket());
        assert_eq!(front_end.get(GET_FEATURES) & FEATURES, FEATURES);
        assert_eq!(front_end.set(SET_PROTOCOL_FEATURES, &PROTOCOL.to_le_bytes()), Yes);
        assert_eq!(front_end.set_ring(SET_VRING_ENABLE, 1, 1), No, "there is one ring");
        assert_eq!(front_end.set_ring(SET_VRING_ENABLE, 0, enabled), Yes);
        assert_eq!(front_end.set(SET_FEATURES, &FEATURES.to_le_bytes()), Yes);
        place(&mut front_end, 0);
        assert_eq!(front_end.set_event(SET_VRING_KICK, 0, event_fd()), Yes);
        back_end.check_rings(enabled as usize);
    }
}

#[test]
fn a_running_ring_cannot_be_set_up() {
    let run = |front_end: &mut FrontEnd| {
        set_up(front_end, 0);
        assert_eq!(front_end.set_event(SET_VRING_KICK, 0, event_fd()), Yes);
    };
    let at = MEMORY.user;
    let set = |request, body: Vec<u8>| {
        move |front_end: &mut FrontEnd| {
            run(front_end);
            front_end.set(request, &body)
        }
    };
    check_all(&[
        ("size", No, &set(SET_VRING_NUM, pair(0, 8))),
        ("base", No, &set(SET_VRING_BASE, pair(0, 8))),
        ("areas", No, &set(SET_VRING_ADDR, areas(0, at, at, at))),
        ("features", No, &set(SET_FEATURES, (FEATURES | 1 << 29).to_le_bytes().to_vec())),
        ("same features", Yes, &set(SET_FEATURES, FEATURES.to_le_bytes().to_vec())),
        ("the other ring", Yes, &set(SET_VRING_NUM, pair(1, 8))),
        ("its memory", Yes, &|front_end| {
            run(front_end);
            front_end.remove_memory(MEMORY)
        }),
        ("stopped, its memory", Yes, &|front_end| {
            run(front_end);
            assert_eq!(front_end.stop_ring(0), Some(0));
            front_end.remove_memory(MEMORY)
        }),
        ("reset, its size", Yes, &|front_end| {
            run(front_end);
            assert_eq!(front_end.set(RESET_DEVICE, &[]), Yes);
            front_end.set_ring(SET_VRING_NUM, 0, 8)
        }),
    ]);
}

#[test]
fn files_that_are_no_eventfds_are_refused() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let memory = memory_file(PAGE);
    let null = File::open("/dev/null").unwrap();
    for request in [SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR] {
        let without = if request == SET_VRING_KICK { No } else { Yes };
        check_all(&[
            ("an end of a pipe", No, &|front_end| front_end.set_event(request, 0, &reader)),
            ("the other end", No, &|front_end| front_end.set_event(request, 0, &writer)),
            ("memory", No, &|front_end| front_end.set_event(request, 0, &memory)),
            ("/dev/null", No, &|front_end| front_end.set_event(request, 0, &null)),
            ("no such ring", No, &|front_end| front_end.set_event(request, 2, event_fd())),
            ("none, as announced", without, &|front_end| front_end.set(request, &0x100_u64.to_le_bytes())),
            ("none", Closed, &|front_end| front_end.set(request, &[0; 8])),
            ("one too many", Closed, &|front_end| front_end.set_event(request, 0x100, event_fd())),
            ("two", Closed, &|front_end| {
                front_end.set_with(request, &[0; 8], &[event_fd().as_fd(), event_fd().as_fd()])
            }),
        ]);
    }
}

#[test]
fn memory_that_cannot_be_is_refused() {
    let (reader, _writer) = rustix::pipe::pipe().unwrap();
    let read_only = File::open("/proc/self/exe").unwrap();
    let file = memory_file(16 * PAGE);
    let add = |region: Region| {
        let file = &file;
        move |front_end: &mut FrontEnd| front_end.add_memory(region, file)
    };
    let set = |regions: Vec<Region>, files: usize| {
        let file = file.as_fd();
        move |front_end: &mut FrontEnd| front_end.set_memory(&regions, &vec![file; files])
    };
    let next = Region { guest: MEMORY.guest + MEMORY.size, ..MEMORY };
    let overlapping = Region { guest: MEMORY.guest + MEMORY.size - 1, ..MEMORY };
    let many: Vec<_> = (0..33).map(|index| Region { guest: index * 0x100_0000, ..MEMORY }).collect();
    check_all(&[
        ("all of it", Yes, &add(MEMORY)),
        ("beyond the file", No, &add(Region { size: 16 * PAGE + 1, ..MEMORY })),
        ("beyond the file with its offset", No, &add(Region { offset: 1, ..MEMORY })),
        ("offset beyond 2^64", No, &add(Region { offset: u64::MAX - 1, ..MEMORY })),
        ("empty", No, &add(Region { size: 0, ..MEMORY })),
        ("beyond 2^64 for the guest", No, &add(Region { guest: u64::MAX - PAGE, ..MEMORY })),
        ("beyond 2^64 for the front end", No, &add(Region { user: u64::MAX - PAGE, ..MEMORY })),
        ("everything", No, &add(Region { guest: 0, size: u64::MAX, user: 0, offset: 0 })),
        ("a pipe", No, &|front_end| front_end.add_memory(MEMORY, &reader)),
        ("a file that cannot be written", No, &|front_end| {
            front_end.add_memory(Region { size: PAGE, ..MEMORY }, &read_only)
        }),
        ("no file", Closed, &|front_end| front_end.set(ADD_MEM_REG, &[0; 40])),
        ("twice", No, &|front_end| {
            share(front_end);
            front_end.add_memory(overlapping, &file)
        }),
        ("remove what is not there", No, &|front_end| front_end.remove_memory(MEMORY)),
        ("remove what is somewhere else", No, &|front_end| {
            share(front_end);
            front_end.remove_memory(Region { user: 0, ..MEMORY })
        }),
        ("a table", Yes, &set(vec![MEMORY, next], 2)),
        ("a table of one twice", No, &set(vec![MEMORY, MEMORY], 2)),
        ("a table that overlaps", No, &set(vec![overlapping, MEMORY], 2)),
        ("a table with too few files", Closed, &set(vec![MEMORY, next], 1)),
        ("a table with too many files", Closed, &set(vec![MEMORY], 2)),
        ("a table of nothing", Closed, &set(vec![], 0)),
        ("a table of too much", Closed, &set(many, 32)),
    ]);
}

#[test]
fn config_cannot_be_read_beyond_its_end_and_has_one_field_to_write() {
    let config = |offset: u32, size: u32, len: usize| [pair(offset, size), vec![0; 4 + len]].concat();
    let read = |offset, size, len| {
        move |front_end: &mut FrontEnd| match front_end.ask(GET_CONFIG, &config(offset, size, len)) {
            None => Closed,
            Some(body) if body.len() == 12 => No,
            Some(_) => Yes,
        }
    };
    check_all(&[
        ("all", Yes, &read(0, 60, 60)),
        ("more than there is", Yes, &read(0, 256, 256)),
        ("beyond the end", Closed, &read(4096, 1, 1)),
        ("beyond 2^32", Closed, &read(u32::MAX, 8, 8)),
        ("another size", Closed, &read(0, 8, 9)),
        ("nothing", Closed, &read(0, 0, 0)),
        ("write the capacity", No, &|front_end| front_end.set(SET_CONFIG, &config(0, 8, 8))),
        ("write the mode of the cache", Yes, &|front_end| front_end.set(SET_CONFIG, &config(32, 1, 1))),
        ("write all", Yes, &|front_end| front_end.set(SET_CONFIG, &config(0, 60, 60))),
        ("write beyond the end", No, &|front_end| front_end.set(SET_CONFIG, &config(60, 1, 1))),
    ]);
}

#[test]
fn messages_that_are_none_close_the_connection() {
    let send = |bytes: Vec<u8>| {
        move |front_end: &mut FrontEnd| {
            let _ = front_end.send_raw(&bytes, &[]);
            front_end.receive().map_or(Closed, |_| Yes)
        }
    };
    let files = memory_file(PAGE);
    let with_files = |count: usize| {
        let file = files.as_fd();
        move |front_end: &mut FrontEnd| {
            let mut fill = message(GET_QUEUE_NUM, 1, &[]);
            fill.resize(12 + 0x2000, 0xff);
            let _ = front_end.send_raw(&fill, &vec![file; count]);
            front_end.receive().map_or(Closed, |_| Yes)
        }
    };
    check_all(&[
        ("no such message", Closed, &send(message(0, 1, &[]))),
        ("no such message either", Closed, &send(message(u32::MAX, 1, &[]))),
        ("another version", Closed, &send(message(GET_FEATURES, 2, &[]))),
        ("a reply", Closed, &send(message(GET_FEATURES, 5, &[]))),
        ("too long", Closed, &send([message(GET_FEATURES, 1, &[])[..8].to_vec(), vec![0xff; 4]].concat())),
        ("a body that should not be", Closed, &send(message(GET_FEATURES, 1, &[0; 8]))),
        ("a body that is too short", Closed, &send(message(SET_VRING_NUM, 1, &[0; 7]))),
        ("a file that should not be", Closed, &with_files(1)),
        ("more files than there can be", Closed, &with_files(40)),
    ]);
}

#[test]
fn parts_of_messages_are_not_waited_for_when_the_front_end_goes() {
    let back_end = BackEnd::start(&["--null", "4096", "--queues", "2"]);
    let table = message(SET_MEM_TABLE, 1, &[1; 40]);
    for len in 0..table.len() {
        let mut front_end = FrontEnd::connect(back_end.socket());
        front_end.send_raw(&table[..len], &[]).unwrap();
    }
    drop(FrontEnd::agreed(back_end.socket(), FEATURES));
    back_end.end_with(Signal::TERM);
}

#[test]
fn random_bytes_do_no_harm() {
    let back_end = BackEnd::start(&["--null", "4096", "--queues", "2"]);
    let (memory, event) = (memory_file(16 * PAGE), event_fd());
    let mut rng = SmallRng::seed_from_u64(7);
    for round in 0..300 {
        let mut front_end = FrontEnd::connect(back_end.socket());
        // From pure noise to messages that are almost right.
        for _ in 0..rng.random_range(1..20) {
            let mut body = vec![0; rng.random_range(0..48)];
            rng.fill_bytes(&mut body);
            if rng.random() {
                body.iter_mut().for_each(|byte| *byte &= 1);
            }
            let bytes = if round % 3 == 0 { body } else { message(rng.random_range(0..45), 1, &body) };
            let files = &[memory.as_fd(), event.as_fd(), event.as_fd()][..rng.random_range(0..4)];
            // Nobody may be there any more to take it.
            let _ = front_end.send_raw(&bytes, files);
        }
    }
    drop(FrontEnd::agreed(back_end.socket(), FEATURES));
    back_end.end_with(Signal::TERM);
}

/// A ring that breaks is the front end's own loss: it is told once, and can set up the ring anew.
#[test]
fn a_ring_that_breaks_says_so_once_and_can_be_set_up_again() {
    let back_end = BackEnd::start(&["--null", "4096", "--queues", "2"]);
    let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES);
    let file = memory_file(16 * PAGE);
    assert_eq!(front_end.add_memory(MEMORY, &file), Yes);
    let (kick, error) = (event_fd(), event_fd());
    // The available index is far ahead.
    file.write_all_at(&1000_u16.to_le_bytes(), 2 * PAGE + 2).unwrap();
    let at = MEMORY.user;
    assert_eq!(front_end.set_ring(SET_VRING_NUM, 0, 16), Yes);
    assert_eq!(front_end.set(SET_VRING_ADDR, &areas(0, at, at + PAGE, at + 2 * PAGE)), Yes);
    assert_eq!(front_end.set_event(SET_VRING_ERR, 0, &error), Yes);
    assert_eq!(front_end.set_ring(SET_VRING_ENABLE, 0, 1), Yes);
    assert_eq!(front_end.set_event(SET_VRING_KICK, 0, &kick), Yes);
    wait_readable(&error, "the error");

    // Whatever changes, it does not begin again by itself.
    assert_eq!(front_end.set_event(SET_VRING_CALL, 0, event_fd()), Yes);
    assert_eq!(front_end.stop_ring(0), Some(0));
    file.write_all_at(&0_u16.to_le_bytes(), 2 * PAGE + 2).unwrap();
    assert_eq!(front_end.set_event(SET_VRING_KICK, 0, &kick), Yes);
    back_end.check_rings(1);
    assert_eq!(front_end.stop_ring(0), Some(0));
    back_end.check_rings(0);
    let said = back_end.end_with(Signal::TERM);
    let beside = "beside 0 in flight: together they must be at most the queue size 16";
    assert_eq!(said, format!("queue 0 is broken: the driver made 1000 buffers available {beside}\n"));
}
