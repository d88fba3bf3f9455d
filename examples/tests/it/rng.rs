//! The entropy device.

use std::io;

use virtio_examples::rng::{Entropy, MAX_BYTES, OsEntropy, RngDevice, RngError, SeededEntropy};
use virtio_examples::{Device, Served};
use virtio_fake_driver::{DriverChain, SplitFixture, UsedBuffer};

/// Returns what the device makes of one chain.
fn send<E: Entropy>(device: &mut RngDevice<E>, chain: &DriverChain) -> (Result<u64, RngError>, UsedBuffer) {
    let mut fixture = SplitFixture::new(16);
    fixture.driver.add(chain).unwrap();
    let result = device.process(fixture.queue.next_chain().unwrap().unwrap());
    (result, fixture.driver.reap().unwrap().unwrap())
}

/// Returns the first bytes of a seed.
fn seeded(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    SeededEntropy::new(seed).fill(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_buffer_is_filled_however_it_is_cut() {
    for cut in [&[][..], &[1, 1, 1], &[0, 50, 0], &[99]] {
        let mut device = RngDevice::new(SeededEntropy::new(1));
        let (result, used) = send(&mut device, &DriverChain::new().writable_cut(100, cut));
        assert!(matches!(result, Ok(100)));
        assert_eq!(used.written(), seeded(1, 100));
    }
}

#[test]
fn a_buffer_beyond_the_limit_is_filled_up_to_it() {
    for (room, len) in [(1, 1), (MAX_BYTES - 1, MAX_BYTES - 1), (MAX_BYTES + 1, MAX_BYTES), (1 << 19, MAX_BYTES)] {
        let mut device = RngDevice::new(SeededEntropy::new(2));
        let (result, used) = send(&mut device, &DriverChain::new().writable(room as u32));
        assert_eq!(result.unwrap(), len as u64);
        assert_eq!(used.written(), seeded(2, len));
        assert!(used.rest_is_untouched());
    }
}

#[test]
fn readable_bytes_are_passed_over() {
    let mut device = RngDevice::new(SeededEntropy::new(3));
    let (result, used) = send(&mut device, &DriverChain::new().readable(b"please").writable(8));
    assert!(matches!(result, Ok(8)));
    assert_eq!(used.written(), seeded(3, 8));
}

#[test]
fn a_chain_without_room_is_returned_empty() {
    let mut device = RngDevice::new(SeededEntropy::new(4));
    for chain in [DriverChain::new().readable(b"please"), DriverChain::new().writable(0)] {
        let (result, used) = send(&mut device, &chain);
        assert!(matches!(result, Err(RngError::NoRoom)));
        assert_eq!(used.len, 0);
    }
}

#[test]
fn two_requests_get_different_bytes() {
    let mut device = RngDevice::new(OsEntropy);
    let chain = DriverChain::new().writable(32);
    let (first, second) = (send(&mut device, &chain).1, send(&mut device, &chain).1);
    assert_ne!(first.written(), second.written());
}

#[test]
fn without_randomness_nothing_is_written() {
    struct Dry;

    impl Entropy for Dry {
        fn fill(&mut self, buf: &mut [u8]) -> io::Result<()> {
            buf.fill(0);
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    let (result, used) = send(&mut RngDevice::new(Dry), &DriverChain::new().writable(32));
    assert_eq!(result.unwrap_err().to_string(), "no randomness: unsupported");
    assert_eq!(used.len, 0);
    assert!(used.rest_is_untouched());
}

/// What was handed out is a secret, and no part of what a log may have.
#[test]
fn debug_shows_no_bytes() {
    let mut device = RngDevice::new(OsEntropy);
    assert!(send(&mut device, &DriverChain::new().writable(32)).0.is_ok());
    assert_eq!(format!("{device:?}"), "RngDevice { entropy: OsEntropy, .. }");
}

#[test]
fn a_queue_is_served_within_the_budget() {
    let mut fixture = SplitFixture::new(16);
    for _ in 0..4 {
        fixture.driver.add(&DriverChain::new().writable(10)).unwrap();
    }
    let served = RngDevice::new(OsEntropy).serve(&mut fixture.queue, 3).unwrap();
    assert_eq!(served, Served { requests: 3, errors: 0, bytes: 30, pending: true });
}
