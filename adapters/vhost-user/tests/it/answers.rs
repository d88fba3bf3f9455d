//! Which messages are answered.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter_test_support::answer;
use virtio_vhost_user::{VhostUserDevice, Worker};

use crate::devices::all;
use crate::front_end::Running;

/// The version of the protocol, and what asks for an answer.
const VERSION: u32 = 1;
const NEEDS_ANSWER: u32 = 1 << 3;

const GET_FEATURES: u32 = 1;
const SET_OWNER: u32 = 3;
const SET_LOG_FD: u32 = 7;
const GET_PROTOCOL_FEATURES: u32 = 15;
const SET_PROTOCOL_FEATURES: u32 = 16;
const SET_VRING_ENABLE: u32 = 18;
const SEND_RARP: u32 = 19;

/// No message at all.
const NONE: [u32; 0] = [];

/// The protocol feature that lets a front end ask for answers.
const REPLY_ACK: u32 = 1 << 3;

/// The protocol feature of devices that announce guests.
const RARP: u32 = 1 << 2;

fn send(connection: &mut UnixStream, request: u32, flags: u32, payload: &[u32]) {
    let len = u32::try_from(size_of_val(payload)).unwrap();
    let message: Vec<_> =
        [request, VERSION | flags, len].iter().chain(payload).flat_map(|word| word.to_ne_bytes()).collect();
    connection.write_all(&message).unwrap();
}

/// Returns which message the next answer is to, and its payload.
fn receive(connection: &mut UnixStream) -> (u32, Vec<u8>) {
    let mut header = [[0; 4]; 3];
    connection.read_exact(header.as_flattened_mut()).unwrap();
    let [request, _, len] = header.map(u32::from_ne_bytes);
    let mut payload = vec![0; len as usize];
    connection.read_exact(&mut payload).unwrap();
    (request, payload)
}

/// Remembers which guests it announced.
#[derive(Clone, Default)]
struct Announcer(Arc<Mutex<Vec<[u8; 6]>>>);

impl VhostUserDevice for Announcer {
    const TYPE: &'static str = "net";
    const ANNOUNCES: bool = true;

    fn worker(&self, _queue: usize, _features: u64) -> Worker {
        Worker::at_once(|chain| answer(chain))
    }

    fn announce(&self, address: [u8; 6]) {
        self.0.lock().unwrap().push(address);
    }
}

/// Sends messages without a result, with these flags, and returns which of them are answered, each that it was done.
fn answered(accepted: u32, flags: u32) -> Vec<u32> {
    let back_end = Running::new(all().remove(0).1);
    let mut connection = back_end.connect();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    send(&mut connection, GET_FEATURES, 0, &[]);
    assert_eq!(receive(&mut connection).0, GET_FEATURES);
    send(&mut connection, SET_PROTOCOL_FEATURES, 0, &[accepted, 0]);
    send(&mut connection, SET_OWNER, flags, &[]);
    // Before the features: the crate `vhost` does not understand these two.
    send(&mut connection, SET_VRING_ENABLE, flags, &[0, 1]);
    send(&mut connection, SET_LOG_FD, flags, &[]);
    send(&mut connection, GET_PROTOCOL_FEATURES, flags, &[]);
    let mut answered = Vec::new();
    loop {
        match receive(&mut connection) {
            (GET_PROTOCOL_FEATURES, _) => return answered,
            (request, payload) => {
                assert_eq!(payload, [0; 8], "message {request}");
                answered.push(request);
            }
        }
    }
}

/// Begins a conversation, with protocol features of a device, and returns which of them were offered.
fn begin<D: VhostUserDevice>(back_end: &Running<D>, accepted: u32) -> (UnixStream, u64) {
    let mut connection = back_end.connect();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    send(&mut connection, GET_FEATURES, 0, &[]);
    receive(&mut connection);
    send(&mut connection, GET_PROTOCOL_FEATURES, 0, &[]);
    let offered = receive(&mut connection).1;
    send(&mut connection, SET_PROTOCOL_FEATURES, 0, &[accepted, 0]);
    (connection, u64::from_ne_bytes(offered.try_into().unwrap()))
}

#[test]
fn announcement_reaches_a_device_that_announces() {
    let device = Announcer::default();
    let back_end = Running::new(device.clone());
    let both = RARP | REPLY_ACK;
    for (accepted, flags) in [(RARP, 0), (RARP, NEEDS_ANSWER), (both, 0), (both, NEEDS_ANSWER)] {
        let (mut connection, offered) = begin(&back_end, accepted);
        assert_ne!(offered & u64::from(RARP), 0);
        send(&mut connection, SEND_RARP, flags, &[u32::from_ne_bytes([2, 0, 0, 0]), u32::from_ne_bytes([0, 7, 1, 1])]);
        if accepted & REPLY_ACK != 0 && flags != 0 {
            assert_eq!(receive(&mut connection), (SEND_RARP, vec![0; 8]));
        }
        // The next message is answered after that one.
        send(&mut connection, GET_PROTOCOL_FEATURES, 0, &[]);
        assert_eq!(receive(&mut connection).0, GET_PROTOCOL_FEATURES);
        assert_eq!(device.0.lock().unwrap().pop(), Some([2, 0, 0, 0, 0, 7]));
    }
}

#[test]
fn announcement_that_was_not_negotiated_ends_the_conversation() {
    let device = Announcer::default();
    let back_end = Running::new(device.clone());
    let (mut connection, _) = begin(&back_end, 0);
    send(&mut connection, SEND_RARP, 0, &[0, 0]);
    assert_eq!(connection.read(&mut [0]).unwrap(), 0);
    assert!(device.0.lock().unwrap().is_empty());
    // Nor does a device offer it that cannot do it.
    let (_, offered) = begin(&Running::new(all().remove(0).1), 0);
    assert_eq!(offered & u64::from(RARP), 0);
}

#[test]
fn message_that_asks_is_answered_if_that_was_negotiated() {
    assert_eq!(answered(REPLY_ACK, NEEDS_ANSWER), [SET_OWNER, SET_VRING_ENABLE, SET_LOG_FD]);
}

#[test]
fn message_that_asks_is_not_answered_if_that_was_not_negotiated() {
    assert_eq!(answered(0, NEEDS_ANSWER), NONE);
}

#[test]
fn message_that_does_not_ask_is_not_answered() {
    assert_eq!(answered(REPLY_ACK, 0), NONE);
    assert_eq!(answered(0, 0), NONE);
}
