//! Connections without sockets.

use virtio_examples::vsock::{
    Address, BUF_ALLOC, BeyondCredit, Connection, Credit, Effect, Ends, Op, Outgoing, Packet, Violation, op,
};

const ADDRESS: Address = Address { guest_port: 7, host_port: 1000 };
const CREDIT: Credit = Credit { buf_alloc: 100, fwd_cnt: 0 };

fn packet(op: Op) -> Packet {
    Packet { address: ADDRESS, op, credit: CREDIT }
}

/// Returns a connection in each phase: requesting, requested, accepting, open.
fn phases() -> [Connection; 4] {
    let requesting = Connection::requesting(ADDRESS);
    let mut requested = requesting;
    requested.sent(Outgoing::Control(op::REQUEST), 0);
    let accepting = Connection::accepting(ADDRESS, CREDIT);
    let mut open = accepting;
    open.sent(Outgoing::Control(op::RESPONSE), 0);
    [requesting, requested, accepting, open]
}

fn open() -> Connection {
    phases()[3]
}

/// Lets a connection send its next packet.
#[track_caller]
fn send(connection: &mut Connection, expected: Outgoing, len: u32) {
    assert_eq!(connection.next_packet(true), Some(expected));
    connection.sent(expected, len);
}

#[test]
fn packet_means_something_only_where_it_has_a_place() {
    use Effect::{Accepted, Data, Ended, None as Nothing, Reset};
    let table = [
        (Op::Request, [None, None, None, None]),
        (Op::Response, [None, Some(Accepted), None, None]),
        (Op::Reset, [Some(Reset), Some(Reset), Some(Reset), Some(Reset)]),
        (Op::Shutdown(Ends::SEND), [None, None, Some(Ended), Some(Ended)]),
        (Op::Data(5), [None, None, None, Some(Data(5))]),
        (Op::CreditUpdate, [None, None, None, Some(Nothing)]),
        (Op::CreditRequest, [None, None, None, Some(Nothing)]),
        (Op::Unknown(8), [None, None, None, None]),
    ];
    for (op, effects) in table {
        for (mut connection, effect) in phases().into_iter().zip(effects) {
            let before = connection;
            let result = connection.receive(&packet(op));
            assert_eq!(result, effect.ok_or(Violation::Unexpected(op)), "{before:?}");
            assert!(effect.is_some() || connection == before, "{op:?}");
        }
    }
}

#[test]
fn request_is_sent_once_and_then_the_guest_has_its_say() {
    let mut connection = Connection::requesting(ADDRESS);
    assert!(!connection.is_known());
    send(&mut connection, Outgoing::Control(op::REQUEST), 0);
    assert!(connection.is_known() && !connection.is_accepted());
    assert_eq!(connection.next_packet(true), None);
    assert_eq!(connection.receive(&packet(Op::Response)), Ok(Effect::Accepted));
    assert!(connection.is_accepted());
    assert_eq!(connection.next_packet(false), None);
    assert_eq!(connection.next_packet(true), Some(Outgoing::Data(100)));
}

#[test]
fn credit_is_asked_for_once_until_there_is_some() {
    let mut connection = open();
    send(&mut connection, Outgoing::Data(100), 60);
    send(&mut connection, Outgoing::Data(40), 40);
    assert_eq!(connection.next_packet(false), None);
    send(&mut connection, Outgoing::Control(op::CREDIT_REQUEST), 0);
    assert_eq!(connection.next_packet(true), None);
    let mut update = packet(Op::CreditUpdate);
    assert_eq!(connection.receive(&update), Ok(Effect::None));
    assert_eq!(connection.next_packet(true), None);
    update.credit.fwd_cnt = 1;
    assert_eq!(connection.receive(&update), Ok(Effect::None));
    send(&mut connection, Outgoing::Data(1), 1);
    send(&mut connection, Outgoing::Control(op::CREDIT_REQUEST), 0);
}

#[test]
fn guest_is_told_of_room_when_there_is_much_more_of_it() {
    let mut connection = open();
    let half = BUF_ALLOC / 2;
    assert_eq!(connection.receive(&packet(Op::Data(half))), Ok(Effect::Data(half)));
    connection.forwarded(half - 1);
    assert_eq!(connection.next_packet(false), None);
    connection.forwarded(1);
    let update = connection.next_packet(false).unwrap();
    assert_eq!(update, Outgoing::Control(op::CREDIT_UPDATE));
    let header = connection.header(update, 0, 3);
    assert_eq!((header.buf_alloc.get(), header.fwd_cnt.get()), (BUF_ALLOC, half));
    connection.sent(update, 0);
    assert_eq!(connection.next_packet(false), None);
}

#[test]
fn guest_is_told_of_any_room_when_the_host_has_caught_up() {
    let mut connection = open();
    connection.receive(&packet(Op::Data(10))).unwrap();
    connection.forwarded(10);
    assert_eq!(connection.next_packet(false), None);
    connection.caught_up();
    assert_eq!(connection.next_packet(false), Some(Outgoing::Control(op::CREDIT_UPDATE)));
}

#[test]
fn guest_that_asks_for_credit_gets_it() {
    let mut connection = open();
    connection.receive(&packet(Op::CreditRequest)).unwrap();
    send(&mut connection, Outgoing::Control(op::CREDIT_UPDATE), 0);
    assert_eq!(connection.next_packet(false), None);
}

/// What the host has taken does not count before the guest knows it.
#[test]
fn bytes_beyond_the_credit_are_a_violation() {
    let mut connection = open();
    connection.receive(&packet(Op::Data(BUF_ALLOC - 1))).unwrap();
    connection.forwarded(BUF_ALLOC - 1);
    let beyond = Violation::BeyondCredit(BeyondCredit { len: 2, room: 1 });
    assert_eq!(connection.receive(&packet(Op::Data(2))), Err(beyond));
    assert_eq!(beyond.to_string(), "a packet has 2 bytes, but the guest had credit for 1");
    assert!(connection.receive(&packet(Op::Data(u32::MAX))).is_err());
    connection.receive(&packet(Op::Data(1))).unwrap();
    send(&mut connection, Outgoing::Control(op::CREDIT_UPDATE), 0);
    connection.receive(&packet(Op::Data(BUF_ALLOC - 1))).unwrap();
    assert_eq!(connection.kept(), BUF_ALLOC);
}

#[test]
fn guest_ends_its_directions_one_after_the_other() {
    let mut connection = open();
    connection.receive(&packet(Op::Data(3))).unwrap();
    assert_eq!(connection.receive(&packet(Op::Shutdown(Ends::SEND))), Ok(Effect::Ended));
    assert_eq!(connection.guest_ends(), Ends::SEND);
    assert_eq!(connection.receive(&packet(Op::Data(1))), Err(Violation::AfterEnd));
    assert!(connection.reads_host());
    // A flag that is not there takes nothing back.
    connection.receive(&packet(Op::Shutdown(Ends::RECEIVE))).unwrap();
    assert_eq!(connection.guest_ends(), Ends::BOTH);
    assert!(!connection.reads_host() && connection.next_packet(true).is_none());
    assert!(!connection.is_finished());
    connection.forwarded(3);
    assert!(connection.is_finished());
}

#[test]
fn guest_is_told_what_the_host_has_ended() {
    let mut connection = open();
    for (ends, flags) in [(Ends::SEND, 2), (Ends::RECEIVE, 3)] {
        connection.host_has_ended(ends);
        let shutdown = Outgoing::Control(op::SHUTDOWN);
        assert_eq!(connection.header(shutdown, 0, 3).flags.get(), flags);
        send(&mut connection, shutdown, 0);
        assert_eq!(connection.next_packet(true), None);
    }
}
