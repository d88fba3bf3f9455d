//! The disk on io_uring and the one without it: drivers cannot tell them apart, whatever they ask for.

use std::fs::File;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use virtio_examples::blk::FileStorage;
use virtio_fake_driver::DriverChain;

use super::rig::{FORMATS, Rig};
use crate::blk_file::TempFile;
use crate::disk::{DISCARD, Disk, FLUSH, GET_ID, IN, OUT, SECTOR, WRITE_ZEROES, header, pattern, segment};

/// The size of the disk: the last sector is not all there.
const SIZE: usize = 64 * SECTOR + 100;
/// The size of its file when the disk is used: somebody has made it shorter.
const SHORTER: usize = 50 * SECTOR + 77;

fn sector(rng: &mut SmallRng) -> u64 {
    *[0, 1, 7, 32, 49, 50, 63, 64, 65, 1 << 55, (1 << 55) - 1, u64::MAX].choose(rng).unwrap()
}

fn segments(rng: &mut SmallRng) -> Vec<u8> {
    let count = *[0, 1, 1, 2, 3, 16, 17].choose(rng).unwrap();
    let segments = (0..count).flat_map(|_| {
        let sectors = *[0, 1, 3, 8, 8192, 8193, u32::MAX].choose(rng).unwrap();
        let near = rng.random_range(0..56);
        let (sector, sectors) =
            if rng.random_range(0..8) == 0 { (sector(rng), sectors) } else { (near, sectors.min(8)) };
        segment(sector, sectors, *[0, 0, 0, 1, 1, 2, 0x8000_0000].choose(rng).unwrap())
    });
    let mut bytes: Vec<u8> = segments.collect();
    bytes.truncate(bytes.len() - if rng.random_range(0..20) == 0 { bytes.len().min(5) } else { 0 });
    bytes
}

/// Returns the lengths of the pieces of `len` bytes but the last one: none, a few, or very many.
fn cuts(rng: &mut SmallRng, len: usize) -> Vec<usize> {
    let (count, longest) = *[(0, 0), (1, len), (5, 600), (200, 40)].choose(rng).unwrap();
    let mut left = len;
    let cut = |_| {
        let cut = rng.random_range(0..=left.min(longest));
        left -= cut;
        cut
    };
    (0..count).map(cut).collect()
}

/// Returns a request that need not make sense, cut anywhere.
fn any_request(rng: &mut SmallRng) -> DriverChain {
    let kind = *[IN, IN, IN, OUT, OUT, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES, WRITE_ZEROES, 2, u32::MAX]
        .choose(rng)
        .unwrap();
    let lengths = [0, 1, 20, 511, SECTOR, 513, 2 * SECTOR, 5 * SECTOR, 15 * SECTOR];
    let len = *lengths.choose(rng).unwrap();
    let payload = match kind {
        OUT => (0..len).map(|_| rng.random::<u8>() & 1).collect(),
        DISCARD | WRITE_ZEROES => segments(rng),
        _ => Vec::new(),
    };
    let mut readable = [header(kind, sector(rng)), payload].concat();
    if rng.random_range(0..30) == 0 {
        readable.truncate(rng.random_range(1..16));
    }
    let writable = if rng.random_range(0..30) == 0 { 0 } else { 1 + if kind == OUT { 0 } else { len } };
    let cuts = cuts(rng, readable.len());
    let chain = DriverChain::new().readable_cut(&readable, &cuts);
    if writable == 0 {
        return chain;
    }
    let cuts: Vec<_> = self::cuts(rng, writable).into_iter().map(|cut| cut as u32).collect();
    chain.writable_cut(writable as u32, &cuts)
}

#[test]
fn requests_of_all_kinds_end_as_without_io_uring() {
    for (seed, (shorter, direct)) in
        [(false, false), (true, false), (false, true), (true, true)].into_iter().enumerate()
    {
        for features in FORMATS {
            let mut rng = SmallRng::seed_from_u64(features + seed as u64);
            let files = [(); 2].map(|()| TempFile::new(&pattern(SIZE)));
            let [plain, uring] = files.each_ref().map(|file| FileStorage::open(file.path()).unwrap());
            let uring = if direct { uring.past_the_page_cache() } else { Ok(uring) };
            let Ok(uring) = uring else { continue };
            let (mut plain, mut uring) = (Disk::new(plain), Rig::new(uring, features, 8));
            for file in files.iter().filter(|_| shorter) {
                File::options().write(true).open(file.path()).unwrap().set_len(SHORTER as u64).unwrap();
            }
            for step in 0..600 {
                let chain = any_request(&mut rng);
                let reply = plain.send(&chain);
                uring.add(&chain);
                let used = uring.finish(1).remove(0);
                let about =
                    format!("step {step}, {features:#x}, shorter: {shorter}, direct: {direct}: {:?}", reply.result);
                assert_eq!(used.len, reply.len, "{about}");
                let writable = used.writable();
                assert_eq!(writable.last(), reply.writable.last(), "{about}");
                assert!(writable[..used.len as usize] == reply.writable[..used.len as usize], "{about}");
                let [left, right] = files.each_ref().map(TempFile::bytes);
                assert!(left == right, "{about}");
            }
            assert_eq!(uring.disk.in_flight(), 0);
        }
    }
}
