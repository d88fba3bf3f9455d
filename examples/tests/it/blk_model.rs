//! Random requests, against a plain list of bytes.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use virtio_examples::blk::{FileStorage, MemStorage, Storage};
use virtio_fake_driver::DriverChain;

use crate::blk_file::TempFile;
use crate::disk::{Disk, FLUSH, IN, IOERR, OUT, SECTOR, WRITE_ZEROES, header, segment};

/// Sends 300 requests, some of them beyond the end. The model holds whole sectors, the storage what `size` says.
fn check(storage: impl Storage, seed: u64) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let size = storage.size() as usize;
    let sectors = size.div_ceil(SECTOR);
    let mut model = vec![0; sectors * SECTOR];
    let mut disk = Disk::new(storage);
    for _ in 0..300 {
        let start = rng.random_range(0..=sectors);
        let count = rng.random_range(0..8);
        let bytes = start * SECTOR..(start + count) * SECTOR;
        let inside = start + count <= sectors;
        let split = rng.random_range(0..=bytes.len());
        match rng.random_range(0..4) {
            0 => {
                let chain = DriverChain::new().readable(header(IN, start as u64));
                let reply = disk.send(&chain.writable_cut(bytes.len() as u32 + 1, &[split as u32]));
                if inside {
                    reply.check_ok(bytes.len() as u64, bytes.len() as u32 + 1);
                    assert_eq!(reply.payload(), &model[bytes]);
                } else {
                    assert_eq!(reply.status(), IOERR);
                }
            }
            1 => {
                let mut data: Vec<u8> = bytes.clone().map(|_| rng.random()).collect();
                if inside && bytes.end > size {
                    data[size.max(bytes.start) - bytes.start..].fill(0);
                }
                let chain = DriverChain::new().readable(header(OUT, start as u64)).readable_cut(&data, &[split]);
                let reply = disk.send(&chain.writable(1));
                if inside {
                    reply.check_ok(bytes.len() as u64, 1);
                    model[bytes].copy_from_slice(&data);
                } else {
                    assert_eq!(reply.status(), IOERR);
                }
            }
            2 => {
                let readable = [header(WRITE_ZEROES, 0), segment(start as u64, count as u32, 0)].concat();
                let reply = disk.send(&DriverChain::new().readable(readable).writable(1));
                assert_eq!(reply.result.is_ok(), inside);
                if inside {
                    model[bytes].fill(0);
                }
            }
            _ => disk.send(&DriverChain::new().readable(header(FLUSH, 0)).writable(1)).check_ok(0, 1),
        }
    }
}

#[test]
fn memory_is_as_the_model() {
    for seed in 0..4 {
        for size in [32 * SECTOR, 31 * SECTOR + 1, 200 * SECTOR - 1, 1] {
            check(MemStorage::new(vec![0; size]), seed);
        }
    }
}

#[test]
fn a_file_is_as_the_model() {
    for size in [32 * SECTOR, 31 * SECTOR + 1, 100] {
        let file = TempFile::new(&vec![0; size]);
        check(FileStorage::open(file.path()).unwrap(), size as u64);
        assert_eq!(file.bytes().len(), size);
    }
}
