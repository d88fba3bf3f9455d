//! FRAME-1: however the driver cuts a request, the device does the same.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use virtio_examples::blk::MemStorage;
use virtio_fake_driver::DriverChain;

use crate::disk::{DISCARD, Disk, FLUSH, GET_ID, IN, OUT, SECTOR, WRITE_ZEROES, header, pattern, segment};

/// A request before it is cut: what is readable, and how much is writable.
pub(crate) type Whole = (Vec<u8>, u32);

pub(crate) fn requests() -> Vec<Whole> {
    let with = |kind, sector, payload: &[u8]| [&header(kind, sector), payload].concat();
    vec![
        (with(IN, 1, &[]), 513),
        (with(OUT, 2, &[9; SECTOR]), 1),
        (with(FLUSH, 0, &[]), 1),
        (with(GET_ID, 0, &[]), 21),
        (with(DISCARD, 0, &[segment(0, 1, 0), segment(1, 2, 0)].concat()), 1),
        (with(WRITE_ZEROES, 0, &[segment(0, 1, 0), segment(3, 1, 1)].concat()), 1),
        (with(77, 0, &[]), 1),
        (with(IN, 99, &[]), 513),
        (with(OUT, 0, &[9; 100]), 1),
        (header(IN, 0)[..9].to_vec(), 7),
        (header(IN, 0), 0),
    ]
}

/// Checks that every request does the same, with `cut` applied, as in two elements.
fn check(cut: impl Fn(&Whole) -> DriverChain) {
    for whole in requests() {
        let outcome = |chain: DriverChain| {
            let mut disk = Disk::new(MemStorage::new(pattern(4 * SECTOR)));
            let reply = disk.send(&chain);
            let result = reply.result.map_err(|error| error.to_string());
            (result, reply.len, reply.writable, disk.stored())
        };
        let expected = outcome(DriverChain::new().readable(&whole.0).writable_cut(whole.1, &[]));
        let chain = cut(&whole);
        assert_eq!(outcome(chain.clone()), expected, "{chain:?}");
    }
}

#[test]
fn as_drivers_do_it() {
    check(|(readable, writable)| {
        let status = writable.saturating_sub(1);
        DriverChain::new().readable_cut(readable, &[16.min(readable.len())]).writable_cut(*writable, &[status])
    });
}

#[test]
fn every_byte_alone() {
    check(|(readable, writable)| {
        let chain = DriverChain::new().readable_cut(readable, &vec![1; readable.len()]);
        chain.writable_cut(*writable, &vec![1; *writable as usize])
    });
}

#[test]
fn every_byte_alone_in_an_indirect_table() {
    check(|(readable, writable)| {
        let chain = DriverChain::new().readable_cut(readable, &vec![1; readable.len()]);
        chain.writable_cut(*writable, &vec![1; *writable as usize]).indirect_after(3).table_misaligned_by(5)
    });
}

#[test]
fn with_elements_of_no_bytes() {
    check(|(readable, writable)| {
        let chain = DriverChain::new().readable_cut(readable, &[0, 3, 0, 0]);
        let chain = chain.readable([]).writable(0);
        let chain = chain.writable_cut(*writable, &[0, (*writable).min(5), 0]);
        chain.writable(0).indirect()
    });
}

#[test]
fn at_random() {
    for seed in 0..100 {
        check(|(readable, writable)| {
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut cut = |mut left: u32| {
                let mut lens = Vec::new();
                for _ in 0..rng.random_range(0..6) {
                    lens.push(rng.random_range(0..=left));
                    left -= lens[lens.len() - 1];
                }
                lens
            };
            let readable_cut: Vec<usize> = cut(readable.len() as u32).into_iter().map(|len| len as usize).collect();
            let chain = DriverChain::new().readable_cut(readable, &readable_cut);
            let chain = chain.writable_cut(*writable, &cut(*writable));
            match rng.random_range(0..4) {
                0 => chain,
                direct => chain.indirect_after(direct - 1).table_misaligned_by(rng.random_range(0..16)),
            }
        });
    }
}
