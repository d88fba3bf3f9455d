//! The back end `vhost-user-net`.

use rustix::process::Signal;

use super::back_end::{BackEnd, NET, command_of, refusal, socket_path, wait_readable};
use super::driver::PACKED;
use super::front_end::*;
use super::rings::{Buffer, Memory, RawRing};
use crate::net::frame;

const MERGEABLE: u64 = 1 << 15;
const MQ: u64 = 1 << 22;
const RING_RESET: u64 = 1 << 40;
const MAC: u64 = 1 << 5;
/// CSUM, GUEST_CSUM, and TSO4, TSO6 and ECN of both sides.
const OFFLOADS: u64 = 0b11 | 0b111 << 7 | 0b111 << 11;
const CTRL_VQ: u64 = 1 << 17;
const CTRL_MAC_ADDR: u64 = 1 << 23;
/// Both of these, STATUS, CTRL_RX, CTRL_RX_EXTRA and GUEST_ANNOUNCE.
const CONTROL: u64 = CTRL_VQ | CTRL_MAC_ADDR | 1 << 16 | 1 << 18 | 1 << 20 | 1 << 21;

/// Returns a packet: a header with nothing in it, and a frame.
fn packet(len: usize, seed: usize) -> Vec<u8> {
    [vec![0; 12], frame(len, seed)].concat()
}

/// Returns the same as it is received.
fn received(len: usize, seed: usize) -> Vec<u8> {
    let mut packet = packet(len, seed);
    packet[10] = 1;
    packet
}

#[test]
fn packets_come_back_from_a_loopback() {
    for mode in [&["--mode", "loopback"][..], &["--mode", "loopback", "--poll"]] {
        let mut back_end = BackEnd::start_program(NET, mode);
        let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES | MERGEABLE);
        let memory = Memory::share(&mut front_end);
        let mut receive = RawRing::start(&mut front_end, 0);
        let mut transmit = RawRing::start(&mut front_end, 1);
        back_end.check_rings(1);
        for seed in 0..40 {
            // Now one is there first, now the other.
            if seed % 2 == 0 {
                receive.add(&memory, Buffer::Writable(2048));
            }
            transmit.add(&memory, Buffer::Readable(&packet(60 + seed, seed)));
            assert!(transmit.wait(&memory).is_empty());
            if seed % 2 == 1 {
                receive.add(&memory, Buffer::Writable(2048));
            }
            assert_eq!(receive.wait(&memory), received(60 + seed, seed));
        }
        let count = "40 packets, 3180 bytes, 0 errors, 0 large";
        let line = format!("pair 0: features 0x100008000; transmitted {count}; received {count}\n");
        // On demand, and when a front end has gone.
        for _ in 0..2 {
            back_end.signal(Signal::USR1);
            assert_eq!(back_end.next_line(), line);
        }
        drop(front_end);
        assert_eq!(back_end.next_line(), line);
        // Nothing is new at the end.
        assert_eq!(back_end.end_with_outputs(Signal::TERM), (String::new(), String::new()));
    }
}

#[test]
fn report_is_printed_at_the_end() {
    let nothing = "0 packets, 0 bytes, 0 errors, 0 large";
    let line = format!("pair 0: features 0x0; transmitted {nothing}; received {nothing}\n");
    // Nobody came.
    let back_end = BackEnd::start_program(NET, &["--mode", "sink"]);
    assert_eq!(back_end.end_with_outputs(Signal::TERM).0, line);
    // A front end is connected.
    let back_end = BackEnd::start_program(NET, &["--mode", "sink"]);
    let _front_end = FrontEnd::agreed(back_end.socket(), FEATURES);
    assert_eq!(back_end.end_with_outputs(Signal::TERM).0, line);
}

/// What is on its way through the device is not lost, and the other ring does not notice.
#[test]
fn one_ring_of_a_pair_rests_while_the_other_runs() {
    let back_end = BackEnd::start_program(NET, &["--mode", "loopback"]);
    let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES | MERGEABLE);
    let memory = Memory::share(&mut front_end);
    let mut receive = RawRing::start(&mut front_end, 0);
    let mut transmit = RawRing::start(&mut front_end, 1);
    for round in 0..20 {
        assert_eq!(front_end.set_ring(SET_VRING_ENABLE, 0, 0), Answer::Yes);
        receive.add(&memory, Buffer::Writable(2048));
        transmit.add(&memory, Buffer::Readable(&packet(60, round)));
        transmit.wait(&memory);
        assert_eq!(front_end.set_ring(SET_VRING_ENABLE, 1, 0), Answer::Yes);
        back_end.check_rings(0);
        assert_eq!(front_end.set_ring(SET_VRING_ENABLE, 0, 1), Answer::Yes);
        assert_eq!(receive.wait(&memory), received(60, round));
        assert_eq!(front_end.set_ring(SET_VRING_ENABLE, 1, 1), Answer::Yes);
        back_end.check_rings(1);
    }
    drop(front_end);
    back_end.end();
}

/// Returns what the back end says of a ring of 16 in which so many buffers are available.
fn too_many(ring: u32, available: u16) -> String {
    let beside = "beside 0 in flight: together they must be at most the queue size 16";
    format!("queue {ring} is broken: the driver made {available} buffers available {beside}\n")
}

#[test]
fn one_ring_of_a_pair_breaks_and_the_other_goes_on() {
    let back_end = BackEnd::start_program(NET, &["--mode", "loopback"]);
    let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES | RING_RESET);
    let memory = Memory::share(&mut front_end);
    let mut receive = RawRing::start(&mut front_end, 0);
    let mut transmit = RawRing::start(&mut front_end, 1);
    transmit.add(&memory, Buffer::Readable(&packet(60, 1)));
    transmit.wait(&memory);
    let error = event_fd();
    assert_eq!(front_end.set_event(SET_VRING_ERR, 1, &error), Answer::Yes);
    transmit.set_available(&memory, 1000);
    wait_readable(&error, "the error");
    receive.add(&memory, Buffer::Writable(2048));
    assert_eq!(receive.wait(&memory), received(60, 1));
    back_end.check_rings(1);

    let mut transmit = transmit.reset(&memory, &mut front_end);
    transmit.add(&memory, Buffer::Readable(&packet(60, 2)));
    receive.add(&memory, Buffer::Writable(2048));
    assert_eq!(receive.wait(&memory), received(60, 2));
    drop(front_end);
    let said = back_end.end_with(Signal::TERM);
    assert_eq!(said, too_many(1, 999));
}

/// A ring rests while another one of its pair is changed, and may be broken when it is to go on.
#[test]
fn a_ring_that_cannot_go_on_says_so_once() {
    let back_end = BackEnd::start_program(NET, &["--mode", "loopback"]);
    let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES | RING_RESET);
    let memory = Memory::share(&mut front_end);
    let receive = RawRing::start(&mut front_end, 0);
    let mut transmit = RawRing::start(&mut front_end, 1);
    let error = event_fd();
    assert_eq!(front_end.set_event(SET_VRING_ERR, 0, &error), Answer::Yes);
    receive.set_available_silently(&memory, 1000);
    for enabled in [0, 1, 0, 1] {
        assert_eq!(front_end.set_ring(SET_VRING_ENABLE, 1, enabled), Answer::Yes);
    }
    wait_readable(&error, "the error");
    transmit.add(&memory, Buffer::Readable(&packet(60, 1)));
    transmit.wait(&memory);

    let mut receive = receive.reset(&memory, &mut front_end);
    receive.add(&memory, Buffer::Writable(2048));
    assert_eq!(receive.wait(&memory), received(60, 1));
    drop(front_end);
    let said = back_end.end_with(Signal::TERM);
    assert_eq!(said, too_many(0, 1000));
}

/// HOST-11, GEN-8: a buffer that a packet waits in is of no use any more when its ring breaks, and in the next ring it
/// is nobody's.
#[test]
fn buffers_of_a_broken_ring_are_forgotten() {
    let back_end = BackEnd::start_program(NET, &["--mode", "loopback"]);
    let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES | MERGEABLE | RING_RESET);
    let memory = Memory::share(&mut front_end);
    let mut receive = RawRing::start(&mut front_end, 0);
    let mut transmit = RawRing::start(&mut front_end, 1);
    let error = event_fd();
    assert_eq!(front_end.set_event(SET_VRING_ERR, 0, &error), Answer::Yes);
    receive.add(&memory, Buffer::Writable(100));
    // The rings have their turns one after the other: when the second packet has gone, the first one waits in the
    // buffer.
    for (len, seed) in [(200, 1), (60, 2)] {
        transmit.add(&memory, Buffer::Readable(&packet(len, seed)));
        transmit.wait(&memory);
    }
    receive.set_available(&memory, 1000);
    wait_readable(&error, "the error");

    let mut receive = receive.reset(&memory, &mut front_end);
    receive.add(&memory, Buffer::Writable(2048));
    assert_eq!(receive.wait(&memory), received(200, 1));
    drop(front_end);
    assert!(back_end.end_with(Signal::TERM).starts_with("queue 0 is broken"));
}

#[test]
fn pairs_are_counted_and_each_has_a_thread() {
    let mut back_end = BackEnd::start_program(NET, &["--mode", "source", "--packet-size", "100", "--queues", "3"]);
    let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES | MQ);
    // The last one is the control queue.
    assert_eq!(front_end.get(GET_QUEUE_NUM), 7);
    assert_eq!(front_end.ask(GET_CONFIG, &[8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap()[12..], [3, 0]);
    let memory = Memory::share(&mut front_end);
    let mut rings: Vec<_> = [0, 4].map(|index| RawRing::start(&mut front_end, index)).into();
    back_end.check_rings(2);
    for ring in &mut rings {
        ring.add(&memory, Buffer::Writable(200));
        assert_eq!(ring.wait(&memory).len(), 112);
    }
    drop(front_end);
    let (none, one) = ("0 packets, 0 bytes, 0 errors, 0 large", "1 packets, 100 bytes, 0 errors, 0 large");
    for (index, received) in [one, none, one].into_iter().enumerate() {
        let line = back_end.next_line();
        assert!(line.starts_with(&format!("pair {index}: ")), "{line}");
        assert!(line.ends_with(&format!("transmitted {none}; received {received}\n")), "{line}");
    }
    back_end.end();
}

/// Returns the configuration space: the hardware address, the status, and the number of pairs.
fn config(front_end: &mut FrontEnd) -> Vec<u8> {
    let body = front_end.ask(GET_CONFIG, &[&[0; 4][..], &[10, 0, 0, 0], &[0; 14]].concat()).unwrap();
    body[12..].to_vec()
}

/// The control queue comes after all pairs if the driver can use them, and otherwise after the first one.
#[test]
fn front_end_that_hands_over_the_control_queue_has_it_served() {
    let args = ["--mode", "loopback", "--queues", "2", "--mac", "02:00:00:00:00:01"];
    let mut back_end = BackEnd::start_program(NET, &args);
    let control = FEATURES | CTRL_VQ | CTRL_MAC_ADDR | MAC;
    for (features, index) in [(control | MQ, 4), (control, 2)] {
        let mut front_end = FrontEnd::agreed(back_end.socket(), features);
        assert_eq!(config(&mut front_end), [2, 0, 0, 0, 0, 1, 1, 0, 2, 0]);
        let memory = Memory::share(&mut front_end);
        let mut receive = RawRing::start(&mut front_end, 0);
        let mut transmit = RawRing::start(&mut front_end, 1);
        let mut ring = RawRing::start(&mut front_end, index);
        // An address, a command that was not negotiated, and a number of pairs.
        let pairs = u8::from(features & MQ == 0);
        for (command, ack) in [(&[1, 1, 2, 0, 0, 0, 0, 9][..], 0), (&[0, 0, 1], 1), (&[4, 0, 2, 0], pairs)] {
            assert_eq!(ring.ask(&memory, command), [ack], "{command:?}");
        }
        assert_eq!(config(&mut front_end)[..6], [2, 0, 0, 0, 0, 9]);
        receive.add(&memory, Buffer::Writable(200));
        transmit.add(&memory, Buffer::Readable(&packet(100, 1)));
        assert_eq!(receive.wait(&memory), received(100, 1));
        drop(front_end);
        // The next driver finds the address of the device.
        (0..2).for_each(|_| drop(back_end.next_line()));
    }
    back_end.end();
}

/// The first six bytes of the message are the address. A front end that did not negotiate it is refused.
#[test]
fn guest_is_announced_if_the_front_end_asks_for_it() {
    for mode in ["sink", "source", "loopback"] {
        let back_end = BackEnd::start_program(NET, &["--mode", mode]);
        let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES);
        assert_eq!(front_end.set(SET_PROTOCOL_FEATURES, &(PROTOCOL | RARP).to_le_bytes()), Answer::Yes);
        assert_eq!(front_end.set(SEND_RARP, &[2, 0, 0, 0, 0, 1, 0, 0]), Answer::Yes);
        assert_eq!(front_end.get(GET_QUEUE_NUM), 3);
        drop(front_end);
        let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES);
        assert_eq!(front_end.set(SEND_RARP, &[2, 0, 0, 0, 0, 1, 0, 0]), Answer::Closed);
        back_end.end_with(Signal::TERM);
    }
}

/// QEMU counts pairs, and asks for as many as there are queues.
#[test]
fn front_end_that_asks_for_a_pair_too_many_is_told_and_goes_on_with_the_others() {
    let back_end = BackEnd::start_program(NET, &["--mode", "loopback"]);
    let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES);
    assert_eq!(front_end.get(GET_QUEUE_NUM), 3);
    let memory = Memory::share(&mut front_end);
    let mut receive = RawRing::start(&mut front_end, 0);
    for index in [3, 4, 255] {
        for request in [SET_VRING_NUM, SET_VRING_BASE, SET_VRING_ENABLE] {
            assert_eq!(front_end.set_ring(request, index, 1), Answer::No);
        }
        for request in [SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR] {
            assert_eq!(front_end.set_event(request, index.into(), event_fd()), Answer::No);
        }
        assert_eq!(front_end.stop_ring(index), Some(0));
    }
    let mut transmit = RawRing::start(&mut front_end, 1);
    receive.add(&memory, Buffer::Writable(200));
    transmit.add(&memory, Buffer::Readable(&packet(100, 1)));
    assert_eq!(receive.wait(&memory), received(100, 1));
    drop(front_end);
    let said = back_end.end_with(Signal::TERM);
    assert!(said.contains("there is no ring 3: the device has 3"), "{said}");
}

#[test]
fn front_end_that_cannot_be_told_of_a_pair_too_many_goes_on() {
    let back_end = BackEnd::start_program(NET, &["--mode", "sink"]);
    let mut front_end = FrontEnd::connect(back_end.socket());
    front_end.get(GET_FEATURES);
    let say = |front_end: &mut FrontEnd, request, body: &[u8]| {
        front_end.send_raw(&message(request, 1, body), &[]).unwrap();
    };
    // All but REPLY_ACK.
    say(&mut front_end, SET_PROTOCOL_FEATURES, &(PROTOCOL & !(1 << 3)).to_le_bytes());
    say(&mut front_end, SET_FEATURES, &FEATURES.to_le_bytes());
    for request in [SET_VRING_NUM, SET_VRING_BASE, SET_VRING_ENABLE] {
        say(&mut front_end, request, &pair(3, 1));
    }
    assert_eq!(front_end.get(GET_QUEUE_NUM), 3);
    // Of anything else it would have to be told.
    say(&mut front_end, SET_VRING_NUM, &pair(0, 0));
    assert_eq!(front_end.ask(GET_QUEUE_NUM, &[]), None);
    back_end.end_with(Signal::TERM);
}

#[test]
fn features_are_what_the_arguments_say() {
    let table: [(&[&str], u64, u64); 4] = [
        (&[], MERGEABLE | RING_RESET | PACKED | OFFLOADS | CONTROL, MQ | MAC),
        (&["--no-mergeable", "--no-packed"], OFFLOADS | CONTROL, MERGEABLE | PACKED | MQ),
        (&["--queues", "2"], MERGEABLE | MQ, 0),
        (&["--no-offloads", "--mac", "02:00:00:00:00:01"], MERGEABLE | MAC, OFFLOADS),
    ];
    for (args, there, absent) in table {
        let back_end = BackEnd::start_program(NET, &[&["--mode", "sink"], args].concat());
        let features = FrontEnd::connect(back_end.socket()).get(GET_FEATURES);
        assert_eq!((features & there, features & absent), (there, 0), "{args:?}");
        back_end.end();
    }
}

/// DPDK's front end says where a packed ring begins in the lower half alone.
#[test]
fn a_packed_base_may_be_one_position() {
    for (base, there) in [(0x8000, 0x8000_8000_u32), (0x8003, 0x8003_8003), (5, 0x0005_0005)] {
        let back_end = BackEnd::start_program(NET, &["--mode", "sink"]);
        let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES | PACKED);
        assert_eq!(front_end.set_ring(SET_VRING_BASE, 1, base), Answer::Yes);
        assert_eq!(front_end.stop_ring(1), Some(there));
        drop(front_end);
        back_end.end();
    }
}

#[test]
fn wrong_arguments_are_one_line() {
    let table: &[(&[&str], &str)] = &[
        (&[], "--mode <MODE>"),
        (&["--mode", "router"], "router"),
        (&["--mode", "tap"], "--tap <NAME>"),
        (&["--mode", "tap", "--tap", "a-name-that-is-too-long"], "a-name-that-is-too-long"),
        (&["--mode", "source", "--packet-size", "49"], "49"),
        (&["--mode", "source", "--packet-size", "9217"], "9217"),
        (&["--mode", "sink", "--queues", "0"], "0"),
        (&["--mode", "sink", "--queues", "128"], "128"),
        (&["--mode", "sink", "--mac", "02:00:00:00:00"], "six pairs"),
        (&["--mode", "sink", "--mac", "02:00:00:00:00:+1"], "six pairs"),
        (&["--mode", "sink", "--mac", "03:00:00:00:00:01"], "multicast"),
    ];
    for (args, expected) in table {
        let said = refusal(command_of(NET, &socket_path(), args));
        assert!(said.starts_with("error: ") && said.contains(expected), "{args:?}: {said}");
    }
}
