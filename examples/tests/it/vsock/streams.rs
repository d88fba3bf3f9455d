//! Streams between programs of the guest and of the host.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use virtio_examples::vsock::{Address, BUF_ALLOC, Credit, RECEIVE, TRANSMIT, VsockHeader, op, shutdown};
use virtio_examples::{Turn, WaitsFor};

use super::rig::{FORMATS, Received, Rig, SentByGuest, check_end, fill, header, leave, pattern, read, write};

const ADDRESS: Address = Address { guest_port: 4000, host_port: 7 };
const BUF: usize = BUF_ALLOC as usize;

/// Returns the bytes of packets that have nothing else.
#[track_caller]
fn bytes(packets: &[Received], address: Address) -> Vec<u8> {
    packets.iter().for_each(|packet| packet.check(address, op::RW));
    packets.iter().flat_map(|packet| packet.payload.iter().copied()).collect()
}

/// Checks that bytes come through, in both directions.
#[track_caller]
fn check_stream(rig: &mut Rig, program: &UnixStream, address: Address) {
    rig.data(address, b"from the guest");
    assert_eq!(read(program).unwrap(), b"from the guest");
    write(program, b"from the host");
    assert_eq!(bytes(&rig.packets(), address), b"from the host");
}

#[test]
fn guest_connects_to_a_program_of_the_host() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let listener = rig.listen(7);
        let program = rig.connect(&listener, ADDRESS);
        check_stream(&mut rig, &program, ADDRESS);
    }
}

#[test]
fn program_of_the_host_connects_to_the_guest() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let (first, address) = rig.connect_to_guest(1234);
        check_stream(&mut rig, &first, address);
        // Another one to the same port is another stream.
        let (second, other) = rig.connect_to_guest(1234);
        assert_ne!(address, other);
        check_stream(&mut rig, &second, other);
        check_stream(&mut rig, &first, address);
    }
}

#[test]
fn bytes_after_the_greeting_are_the_first_of_the_stream() {
    let mut rig = Rig::new(0);
    let mut program = rig.dial();
    for part in ["CON", "NECT 5", "\nhello"] {
        rig.check_nothing();
        program.write_all(part.as_bytes()).unwrap();
    }
    let request = rig.packet();
    let address = Address { guest_port: 5, host_port: request.header.src_port.get() };
    request.check(address, op::REQUEST);
    rig.say(address, op::RESPONSE);
    assert_eq!(bytes(&rig.packets(), address), b"hello");
}

#[test]
fn guest_that_refuses_closes_the_socket_of_the_program() {
    let mut rig = Rig::new(0);
    let mut program = rig.dial();
    program.write_all(b"CONNECT 9\n").unwrap();
    let request = rig.packet();
    rig.say(Address { guest_port: 9, host_port: request.header.src_port.get() }, op::RST);
    program.set_nonblocking(true).unwrap();
    check_end(&program);
    rig.check_nothing();
}

#[test]
fn packets_come_through_however_they_are_cut() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let listener = rig.listen(7);
        let program = rig.connect(&listener, ADDRESS);
        for cuts in [&[][..], &[44], &[1; 60], &[43, 2, 100], &[0, 44, 0, 7]] {
            let payload = pattern(300, cuts.len());
            let header = VsockHeader { len: 300.into(), ..header(ADDRESS, op::RW) };
            // What is behind the payload belongs to nothing.
            rig.send_cut(&header, &[&payload[..], b"more"].concat(), cuts);
            assert_eq!(read(&program).unwrap(), payload, "{cuts:?}");
        }
    }
}

/// The guest sends until it has no credit, the host does not read, and then it does.
#[test]
fn bytes_that_the_host_does_not_take_are_kept_within_the_credit() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let listener = rig.listen(7);
        let program = rig.connect(&listener, ADDRESS);
        let (mut sent, mut forwarded, mut expected) = (0_u32, 0_u32, Vec::new());
        // A socket takes some hundred KiB.
        loop {
            let room = BUF_ALLOC - sent.wrapping_sub(forwarded);
            if room == 0 {
                let before = forwarded;
                rig.say(ADDRESS, op::CREDIT_REQUEST);
                forwarded = rig.check_packet(ADDRESS, op::CREDIT_UPDATE).header.fwd_cnt.get();
                if forwarded == before {
                    break;
                }
                continue;
            }
            let payload = pattern(room.min(5000) as usize, sent as usize);
            rig.data(ADDRESS, &payload);
            sent += payload.len() as u32;
            expected.extend(payload);
            for packet in rig.packets() {
                packet.check(ADDRESS, op::CREDIT_UPDATE);
                assert_eq!(packet.header.buf_alloc.get(), BUF_ALLOC);
                forwarded = packet.header.fwd_cnt.get();
            }
        }
        let mut got = Vec::new();
        while got.len() < expected.len() {
            got.extend(read(&program).unwrap());
            rig.serve();
        }
        assert!(got == expected, "other bytes came than were sent");
        let last = rig.packets().pop().unwrap();
        last.check(ADDRESS, op::CREDIT_UPDATE);
        assert_eq!(last.header.fwd_cnt.get(), sent);
        check_stream(&mut rig, &program, ADDRESS);
    }
}

/// The host sends until the guest has no credit left, and the guest gives some back.
#[test]
fn bytes_that_the_guest_does_not_take_stay_in_the_socket() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let listener = rig.listen(7);
        let program = rig.connect_with(&listener, ADDRESS, Credit { buf_alloc: 10_000, fwd_cnt: 0 });
        let content = pattern(100_000, 1);
        assert_eq!(write(&program, &content), content.len());
        let mut got = Vec::new();
        while got.len() < content.len() {
            let mut packets = rig.packets();
            packets.pop().unwrap().check(ADDRESS, op::CREDIT_REQUEST);
            let more = bytes(&packets, ADDRESS);
            assert_eq!(more.len(), 10_000);
            got.extend(more);
            let credit = Credit { buf_alloc: 10_000, fwd_cnt: got.len() as u32 };
            rig.send(&ADDRESS.sent_by_guest(op::CREDIT_UPDATE, credit), &[]);
        }
        assert!(got == content);
    }
}

#[test]
fn guest_without_credit_gets_nothing_but_one_question() {
    let mut rig = Rig::new(0);
    let listener = rig.listen(7);
    let program = rig.connect_with(&listener, ADDRESS, Credit::default());
    write(&program, b"hello");
    rig.check_packet(ADDRESS, op::CREDIT_REQUEST);
    write(&program, b", world");
    rig.check_nothing();
    // Its buffer becomes smaller than it was, and then larger.
    for buf_alloc in [0, 5, 3, 12] {
        rig.send(&ADDRESS.sent_by_guest(op::CREDIT_UPDATE, Credit { buf_alloc, fwd_cnt: 0 }), &[]);
    }
    let packets: Vec<_> = rig.packets().into_iter().filter(|packet| packet.header.op.get() == op::RW).collect();
    assert_eq!(bytes(&packets, ADDRESS), b"hello, world");
}

/// Nothing is read that has no buffer.
#[test]
fn packets_wait_for_buffers() {
    for format in FORMATS {
        let mut rig = Rig::without_buffers(format).with_room(100);
        let listener = rig.listen(7);
        rig.send(&header(ADDRESS, op::REQUEST), &[]);
        assert_eq!(rig.turn(RECEIVE, 64), Turn { chains: 0, waits_for: WaitsFor::Driver });
        assert_eq!(rig.turn(TRANSMIT, 64), Turn { chains: 0, waits_for: WaitsFor::Either });
        rig.add_buffer();
        rig.serve();
        let (mut program, _) = listener.socket.accept().unwrap();
        program.write_all(&pattern(250, 3)).unwrap();
        rig.serve();
        let used = rig.receive.driver.reap_all().unwrap();
        Received::new(used[0].written()).check(ADDRESS, op::RESPONSE);
        // Meanwhile, the guest can send.
        rig.data(ADDRESS, b"hello");
        program.set_nonblocking(true).unwrap();
        assert_eq!(read(&program).unwrap(), b"hello");
        let mut got = Vec::new();
        for len in [100, 100, 50] {
            rig.add_buffer();
            rig.serve();
            let used = rig.receive.driver.reap_all().unwrap();
            assert_eq!(used.len(), 1);
            let packet = Received::new(used[0].written());
            assert_eq!(packet.payload.len(), len);
            got.extend(bytes(&[packet], ADDRESS));
        }
        assert_eq!(got, pattern(250, 3));
        // A buffer for which there is nothing is put back.
        rig.add_buffer();
        rig.serve();
        assert_eq!(rig.receive.queue.in_flight(), 0);
        assert!(rig.receive.driver.reap_all().unwrap().is_empty());
    }
}

/// A connection has one packet in a turn.
#[test]
fn busy_connection_does_not_keep_others_waiting() {
    let mut rig = Rig::without_buffers(0);
    let listener = rig.listen(7);
    let addresses = [1, 2, 3].map(|guest_port| Address { guest_port, host_port: 7 });
    let mut programs = Vec::new();
    for address in addresses {
        rig.add_buffer();
        rig.send(&header(address, op::REQUEST), &[]);
        programs.push(listener.socket.accept().unwrap().0);
    }
    rig.receive.driver.reap_all().unwrap();
    programs[0].write_all(&pattern(100_000, 1)).unwrap();
    rig.serve();
    programs[1].write_all(b"second").unwrap();
    programs[2].write_all(b"third").unwrap();
    (0..4).for_each(|_| rig.add_buffer());
    rig.serve();
    let used = rig.receive.driver.reap_all().unwrap();
    let ports = used.iter().map(|used| Received::new(used.written()).header.dst_port.get());
    assert_eq!(ports.collect::<Vec<_>>(), [1, 2, 3, 1]);
}

#[test]
fn guest_ends_what_it_sends_and_still_receives() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let listener = rig.listen(7);
        let program = rig.connect(&listener, ADDRESS);
        rig.data(ADDRESS, b"last words");
        rig.shut(ADDRESS, shutdown::SEND);
        assert_eq!(read(&program).unwrap(), b"last words");
        check_end(&program);
        rig.check_nothing();
        write(&program, b"answer");
        assert_eq!(bytes(&rig.packets(), ADDRESS), b"answer");
        leave(program);
        let end = rig.check_packet(ADDRESS, op::SHUTDOWN);
        assert_eq!(end.header.flags.get(), shutdown::SEND | shutdown::RECEIVE);
        rig.shut(ADDRESS, shutdown::SEND | shutdown::RECEIVE);
        rig.check_packet(ADDRESS, op::RST);
    }
}

#[test]
fn guest_ends_what_it_receives_and_still_sends() {
    let mut rig = Rig::new(0);
    let listener = rig.listen(7);
    let mut program = rig.connect(&listener, ADDRESS);
    rig.shut(ADDRESS, shutdown::RECEIVE);
    assert!(program.write(b"too late").is_err());
    rig.data(ADDRESS, b"hello");
    assert_eq!(read(&program).unwrap(), b"hello");
    rig.check_nothing();
    leave(program);
    let end = rig.check_packet(ADDRESS, op::SHUTDOWN);
    assert_eq!(end.header.flags.get(), shutdown::SEND | shutdown::RECEIVE);
}

#[test]
fn host_ends_what_it_sends_and_still_receives() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let listener = rig.listen(7);
        let program = rig.connect(&listener, ADDRESS);
        write(&program, b"last words");
        program.shutdown(Shutdown::Write).unwrap();
        let packets = rig.packets();
        let (end, data) = packets.split_last().unwrap();
        assert_eq!(bytes(data, ADDRESS), b"last words");
        end.check(ADDRESS, op::SHUTDOWN);
        assert_eq!(end.header.flags.get(), shutdown::SEND);
        rig.data(ADDRESS, b"answer");
        assert_eq!(read(&program).unwrap(), b"answer");
        rig.shut(ADDRESS, shutdown::SEND | shutdown::RECEIVE);
        check_end(&program);
        rig.check_packet(ADDRESS, op::RST);
        // The ports can be used again.
        let program = rig.connect(&listener, ADDRESS);
        check_stream(&mut rig, &program, ADDRESS);
    }
}

#[test]
fn host_ends_what_it_receives_and_still_sends() {
    let mut rig = Rig::new(0);
    let listener = rig.listen(7);
    let program = rig.connect(&listener, ADDRESS);
    program.shutdown(Shutdown::Read).unwrap();
    rig.data(ADDRESS, &pattern(BUF, 1));
    let packets = rig.packets();
    let end = packets.iter().find(|packet| packet.header.op.get() == op::SHUTDOWN).unwrap();
    assert_eq!(end.header.flags.get(), shutdown::RECEIVE);
    // What nobody takes needs no room.
    rig.say(ADDRESS, op::CREDIT_REQUEST);
    assert_eq!(rig.check_packet(ADDRESS, op::CREDIT_UPDATE).header.fwd_cnt.get(), BUF_ALLOC);
    write(&program, b"still here");
    assert_eq!(bytes(&rig.packets(), ADDRESS), b"still here");
}

#[test]
fn program_that_is_gone_is_the_end_of_both_directions() {
    let mut rig = Rig::new(0);
    let listener = rig.listen(7);
    let program = rig.connect(&listener, ADDRESS);
    write(&program, b"last words");
    leave(program);
    let packets = rig.packets();
    let (end, data) = packets.split_last().unwrap();
    assert_eq!(bytes(data, ADDRESS), b"last words");
    end.check(ADDRESS, op::SHUTDOWN);
    assert_eq!(end.header.flags.get(), shutdown::SEND | shutdown::RECEIVE);
    rig.data(ADDRESS, b"too late");
    rig.check_nothing();
    rig.say(ADDRESS, op::RST);
    rig.check_nothing();
}

/// The host program got less than it was sent: its kernel says so by an error.
#[test]
fn program_that_leaves_bytes_behind_resets_the_connection() {
    let mut rig = Rig::new(0);
    let listener = rig.listen(7);
    let program = rig.connect(&listener, ADDRESS);
    rig.data(ADDRESS, b"never read");
    leave(program);
    rig.check_packet(ADDRESS, op::RST);
}

/// The socket has room, but not so much that it would say so.
#[test]
fn bytes_do_not_overtake_those_that_are_kept() {
    let mut rig = Rig::new(0);
    let listener = rig.listen(7);
    let mut program = rig.connect(&listener, ADDRESS);
    let (mut sent, mut got) = (fill(&mut rig, ADDRESS), Vec::new());
    rig.say(ADDRESS, op::CREDIT_REQUEST);
    rig.packets();
    for round in 0..20 {
        let mut part = [0; 3000];
        let len = program.read(&mut part).unwrap();
        got.extend(&part[..len]);
        let payload = pattern(100, round);
        rig.data(ADDRESS, &payload);
        sent.extend(payload);
    }
    while got.len() < sent.len() {
        got.extend(read(&program).unwrap());
        rig.serve();
    }
    assert!(got == sent, "bytes came in another order than they were sent");
}

/// A guest that closes a socket waits for RST, which comes when nothing can be lost any more.
#[test]
fn reset_comes_after_the_host_has_taken_all() {
    let mut rig = Rig::new(0);
    let listener = rig.listen(7);
    let program = rig.connect(&listener, ADDRESS);
    let sent = fill(&mut rig, ADDRESS);
    rig.shut(ADDRESS, shutdown::SEND | shutdown::RECEIVE);
    rig.check_nothing();
    let mut got = read(&program).unwrap();
    rig.check_packet(ADDRESS, op::RST);
    while let Some(more) = read(&program) {
        got.extend(more);
    }
    assert!(got == sent);
}

/// A guest does not wait for ever. What it has sent before comes to the host, and its ports are free.
#[test]
fn guest_that_waits_no_longer_loses_nothing() {
    let mut rig = Rig::new(0);
    let listener = rig.listen(7);
    let program = rig.connect(&listener, ADDRESS);
    let sent = fill(&mut rig, ADDRESS);
    rig.shut(ADDRESS, shutdown::SEND | shutdown::RECEIVE);
    rig.say(ADDRESS, op::RST);
    let other = rig.connect(&listener, ADDRESS);
    let mut got = Vec::new();
    while let Some(more) = read(&program) {
        got.extend(more);
        rig.serve();
    }
    assert!(got == sent);
    check_stream(&mut rig, &other, ADDRESS);
}

#[test]
fn guest_that_only_resets_is_the_end_at_once() {
    let mut rig = Rig::new(0);
    let listener = rig.listen(7);
    let program = rig.connect(&listener, ADDRESS);
    let sent = fill(&mut rig, ADDRESS);
    rig.say(ADDRESS, op::RST);
    let mut got = Vec::new();
    while let Some(more) = read(&program) {
        got.extend(more);
    }
    assert!(got.len() < sent.len() && sent.starts_with(&got));
    rig.check_nothing();
}

#[test]
fn what_was_done_is_reported() {
    let mut rig = Rig::new(0);
    let listener = rig.listen(7);
    let program = rig.connect(&listener, ADDRESS);
    check_stream(&mut rig, &program, ADDRESS);
    let (other, address) = rig.connect_to_guest(5);
    check_stream(&mut rig, &other, address);
    rig.send(&header(Address { guest_port: 1, host_port: 8 }, op::REQUEST), &[]);
    rig.send(&VsockHeader { src_cid: 9.into(), ..header(ADDRESS, op::RW) }, &[]);
    let done = "the guest: 1 connections, 28 bytes; the host: 1 connections, 26 bytes; 1 refused, 1 malformed";
    assert_eq!(rig.report(), done);
}
