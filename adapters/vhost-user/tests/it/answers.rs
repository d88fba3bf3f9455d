//! Which messages are answered.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

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

/// No message at all.
const NONE: [u32; 0] = [];

/// The protocol feature that lets a front end ask for answers.
const REPLY_ACK: u32 = 1 << 3;

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
