//! The back end `vhost-user-rng`.

use super::back_end::{BackEnd, RNG};
use super::front_end::{FEATURES, FrontEnd};
use super::rings::{Buffer, Memory, RawRing};

#[test]
fn random_bytes_come_when_they_are_asked_for() {
    for mode in [&[][..], &["--poll"]] {
        let back_end = BackEnd::start_program(RNG, mode);
        let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES);
        let memory = Memory::share(&mut front_end);
        let mut ring = RawRing::start(&mut front_end, 0);
        let mut seen = Vec::new();
        for len in [1, 16, 2048, 16] {
            ring.add(&memory, Buffer::Writable(len));
            let bytes = ring.wait(&memory);
            assert_eq!(bytes.len(), len as usize);
            assert!(len == 1 || !seen.contains(&bytes));
            seen.push(bytes);
        }
        drop(front_end);
        back_end.end();
    }
}
