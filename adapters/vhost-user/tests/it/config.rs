//! Writes to the configuration space.

use std::io::{Read, Write};
use std::sync::Mutex;

use adapter_test_support::answer;
use vhost::vhost_user::VhostUserFrontend;
use vhost::vhost_user::message::VhostUserConfigFlags;
use virtio_vhost_user::{VhostUserDevice, Worker};

use crate::devices::TestDevice;
use crate::front_end::{FrontEnd, Running};

/// Has eight bytes, of which the last four can be written.
struct Configured(Mutex<[u8; 8]>);

impl VhostUserDevice for Configured {
    const TYPE: &'static str = "console";

    fn worker(&self, _queue: usize, _features: u64) -> Worker {
        Worker::at_once(|chain| answer(chain))
    }

    fn config(&self) -> Vec<u8> {
        self.0.lock().unwrap().to_vec()
    }

    fn write_config(&self, offset: usize, bytes: &[u8]) -> bool {
        let writable = offset >= 4;
        if writable {
            self.0.lock().unwrap()[offset..][..bytes.len()].copy_from_slice(bytes);
        }
        writable
    }
}

/// Writes, and returns whether that was accepted, and what the front end reads then.
fn write<D: VhostUserDevice>(back_end: &Running<D>, offset: u32, bytes: &[u8]) -> (bool, Vec<u8>) {
    let mut front_end = FrontEnd::new(back_end, 0);
    let flags = VhostUserConfigFlags::WRITABLE;
    let written = front_end.connection.set_config(offset, flags, bytes).is_ok();
    let (_, config) = front_end.connection.get_config(0, 8, VhostUserConfigFlags::empty(), &[0; 8]).unwrap();
    (written, config)
}

#[test]
fn write_within_what_can_be_written_reaches_the_device() {
    let back_end = Running::new(Configured(Mutex::new([9; 8])));
    for (offset, bytes, config) in [
        (4, &[1, 2, 3, 4][..], [9, 9, 9, 9, 1, 2, 3, 4]),
        (7, &[5], [9, 9, 9, 9, 1, 2, 3, 5]),
        (5, &[6, 7], [9, 9, 9, 9, 1, 6, 7, 5]),
    ] {
        assert_eq!(write(&back_end, offset, bytes), (true, config.to_vec()));
    }
}

#[test]
fn write_that_makes_no_sense_is_refused_and_the_front_end_goes_on() {
    let back_end = Running::new(Configured(Mutex::new([9; 8])));
    for (offset, count) in [(0, 1), (3, 2), (0, 8), (7, 2), (8, 1), (0, 9), (4, 5), (0, 256), (4095, 1)] {
        assert_eq!(write(&back_end, offset, &vec![1; count]), (false, vec![9; 8]), "{count} bytes at {offset}");
    }
}

#[test]
fn write_to_a_device_that_takes_none_is_refused() {
    let back_end = Running::new(TestDevice::new(|| Worker::at_once(|chain| answer(chain))));
    assert_eq!(write(&back_end, 0, &[1]), (false, vec![0; 8]));
}

#[test]
fn write_that_is_no_message_is_refused_and_ends_the_conversation() {
    const SET_CONFIG: u32 = 25;
    const VERSION_AND_NEED_REPLY: u32 = 0b1001;
    let back_end = Running::new(Configured(Mutex::new([9; 8])));
    // The offset, the size and the flags that the message has, and how many bytes follow.
    for (offset, size, flags, count) in [
        (4, 0, 0, 0),
        (4, 4, 0, 3),
        (4, 3, 0, 4),
        (4, u32::MAX, 0, 4),
        (u32::MAX, 1, 0, 1),
        (u32::MAX, u32::MAX, 0, 4),
        (4093, 4, 0, 4),
        (4, 4, 4, 4),
    ] {
        let connection = back_end.connect();
        let mut raw = connection.try_clone().unwrap();
        let mut front_end = FrontEnd::on(connection);
        front_end.negotiate(0);
        let message = [SET_CONFIG, VERSION_AND_NEED_REPLY, 12 + count, offset, size, flags];
        let mut bytes = message.map(u32::to_ne_bytes).concat();
        bytes.resize(bytes.len() + count as usize, 1);
        raw.write_all(&bytes).unwrap();
        let mut answers = Vec::new();
        raw.read_to_end(&mut answers).unwrap_or_else(|error| panic!("{message:?}: {error}, {answers:?}"));
        let refused = answers.last_chunk().map(|result| u64::from_ne_bytes(*result) != 0);
        assert_eq!((answers.len(), refused), (20, Some(true)), "{message:?}");
        back_end.check_serves();
    }
    assert_eq!(write(&back_end, 7, &[9]), (true, vec![9; 8]));
}
