//! Discards and zeroes, as the kernel does them.

use std::fs::File;
use std::os::fd::AsRawFd;

use rustix::fs::{MemfdFlags, memfd_create};
use virtio_examples::blk::{BlockDevice, FileStorage, Storage, feature};
use virtio_fake_driver::DriverChain;

use super::medium::Files;
use super::rig::{FORMATS, Rig, id};
use super::{flush, read};
use crate::blk_file::TempFile;
use crate::disk::{DISCARD, IOERR, OK, SECTOR, UNSUPP, WRITE_ZEROES, header, pattern, segment};

/// The flag of a segment whose space can be released.
const UNMAP: u32 = 1;

fn clear(kind: u32, segments: &[Vec<u8>]) -> DriverChain {
    DriverChain::new().readable(header(kind, 0)).readable(segments.concat()).writable(1)
}

/// A file in memory, which has no way to zero a range: zeroes have to be written.
fn in_memory(bytes: &[u8]) -> FileStorage {
    let file = File::from(memfd_create("disk", MemfdFlags::CLOEXEC).unwrap());
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    std::fs::write(&path, bytes).unwrap();
    FileStorage::open(path).unwrap()
}

fn content(storage: &FileStorage) -> Vec<u8> {
    let mut bytes = vec![0; storage.size() as usize];
    storage.read_at(&mut bytes, 0).unwrap();
    bytes
}

/// The thread of the queue hands them over, and goes on.
#[test]
fn what_clears_is_in_flight_until_the_kernel_has_done_it() {
    let file = TempFile::new(&pattern(64 * SECTOR));
    for features in FORMATS {
        let mut rig = Rig::new(FileStorage::open(file.path()).unwrap(), features, 8);
        rig.add(&clear(DISCARD, &[segment(0, 16, 0)]));
        rig.add(&clear(WRITE_ZEROES, &[segment(16, 16, 0)]));
        rig.add(&clear(WRITE_ZEROES, &[segment(32, 16, UNMAP)]));
        rig.take();
        assert_eq!((rig.disk.in_flight(), rig.driver.reap_all().unwrap().len()), (3, 0));
        assert!(rig.finish(3).iter().all(|used| (used.len, used.writable()) == (1, &[OK][..])));
        let stored = file.bytes();
        assert_eq!(stored[16 * SECTOR..48 * SECTOR], [0; 32 * SECTOR]);
        assert_eq!(stored[48 * SECTOR..], pattern(64 * SECTOR)[48 * SECTOR..]);
    }
}

#[test]
fn all_segments_are_cleared_and_nothing_else() {
    // The last sector is not all there. A segment can be empty.
    let model = pattern(400 * SECTOR + 100);
    let segments = |flags| [(3, 5), (50, 0), (100, 250), (399, 2)].map(|(at, count)| segment(at, count, flags));
    for flags in [0, UNMAP] {
        let mut expected = model.clone();
        for place in [3 * SECTOR..8 * SECTOR, 100 * SECTOR..350 * SECTOR, 399 * SECTOR..400 * SECTOR + 100] {
            expected[place].fill(0);
        }
        for features in FORMATS {
            let file = TempFile::new(&model);
            for storage in [FileStorage::open(file.path()).unwrap(), in_memory(&model)] {
                let mut rig = Rig::new(&storage, features, 8);
                rig.add(&clear(WRITE_ZEROES, &segments(flags)));
                assert_eq!(rig.finish(1).remove(0).writable(), [OK]);
                rig.add(&flush());
                assert_eq!(rig.finish(1).remove(0).writable(), [OK]);
                rig.add(&read(399, 2));
                assert_eq!(rig.finish(1).remove(0).writable(), [&expected[399 * SECTOR..], &[0; 412], &[OK]].concat());
                assert!(content(&storage) == expected);
            }
        }
    }
}

/// Written zeroes are stable before the answer, unless the driver flushes.
#[test]
fn zeroes_are_followed_by_a_flush_without_the_feature() {
    for (accepted, operations) in [(0, 2), (feature::FLUSH, 1)] {
        let file = TempFile::new(&[1; 8 * SECTOR]);
        let mut device = BlockDevice::new(FileStorage::open(file.path()).unwrap(), id());
        device.accept(accepted);
        let mut rig = Rig::with_device(device, 0, 8);
        rig.add(&clear(WRITE_ZEROES, &[segment(0, 8, UNMAP)]));
        rig.take();
        let mut ended = 0;
        while rig.disk.in_flight() > 0 {
            ended += rig.disk.turn().unwrap().ended;
            std::thread::yield_now();
        }
        assert_eq!((ended, rig.finish(1).remove(0).writable()), (operations, &[OK][..]));
        assert_eq!(file.bytes(), [0; 8 * SECTOR]);
    }
}

#[test]
fn what_cannot_be_cleared_is_refused() {
    let size = 64 * SECTOR as u64;
    let full = || Files::new(File::options().read(true).write(true).open("/dev/full").unwrap(), size);
    let table = [
        ("flags of a discard", clear(DISCARD, &[segment(0, 8, UNMAP)]), UNSUPP),
        ("unknown flags", clear(WRITE_ZEROES, &[segment(0, 8, 2)]), UNSUPP),
        ("out of range", clear(WRITE_ZEROES, &[segment(0, 8, 0), segment(60, 8, 0)]), IOERR),
        ("too long", clear(DISCARD, &[segment(0, 8193, 0)]), IOERR),
        ("half a segment", clear(WRITE_ZEROES, &[vec![0; 8]]), IOERR),
        ("no segment", clear(DISCARD, &[]), IOERR),
        ("the medium cannot", clear(WRITE_ZEROES, &[segment(0, 8, UNMAP)]), IOERR),
    ];
    for (about, chain, status) in table {
        for features in FORMATS {
            let mut rig = Rig::new(full(), features, 8);
            rig.add(&chain);
            let used = rig.finish(1).remove(0);
            assert_eq!((used.len, used.writable()), (1, &[status][..]), "{about}");
        }
    }
}
