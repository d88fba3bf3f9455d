//! A failing medium: what the driver is told, in each way in which a file is read and written.

use std::fs::File;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use virtio_examples::Device;
use virtio_examples::blk::{BlockDevice, Storage};
use virtio_fake_driver::{AnyFixtureOptions, DriverChain};

use crate::blk_file::TempFile;
use crate::blk_uring::{FORMATS, Files, Rig, id};
use crate::disk::{FLUSH, IN, IOERR, OUT, SECTOR, WRITE_ZEROES, header, segment};

/// The size that the media seem to have.
const SIZE: u64 = 64 * SECTOR as u64;

/// What is wrong, what is asked of the medium, and the used length that the driver gets with IOERR.
type Case<'f> = (&'static str, &'f File, DriverChain, u32);

fn read(sector: u64, sectors: usize) -> DriverChain {
    DriverChain::new().readable(header(IN, sector)).writable((sectors * SECTOR) as u32).writable(1)
}

fn write(sector: u64, sectors: usize) -> DriverChain {
    DriverChain::new().readable(header(OUT, sector)).readable(vec![7; sectors * SECTOR]).writable(1)
}

fn flush() -> DriverChain {
    DriverChain::new().readable(header(FLUSH, 0)).writable(1)
}

fn zero(sector: u64, sectors: u32) -> DriverChain {
    DriverChain::new().readable(header(WRITE_ZEROES, 0)).readable(segment(sector, sectors, 0)).writable(1)
}

/// Returns a file in memory that cannot become longer than this, as one on a full file system.
fn sealed(len: u64) -> File {
    let file = File::from(memfd_create("disk", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap());
    file.set_len(len).unwrap();
    fcntl_add_seals(&file, SealFlags::GROW).unwrap();
    file
}

/// SPLIT-USED-4: a read counts what came before the hole.
#[test]
fn failing_medium_is_ioerr_in_each_way() {
    let short = TempFile::new(&[1; SECTOR]);
    let (short, unreadable, full, room) = (
        File::open(short.path()).unwrap(),
        // Nothing is mapped at its beginning: EIO.
        File::open("/proc/self/mem").unwrap(),
        File::options().read(true).write(true).open("/dev/full").unwrap(),
        sealed(4096),
    );
    let table: [Case<'_>; 11] = [
        ("EIO", &unreadable, read(0, 1), 0),
        ("ENOSPC", &full, write(0, 1), 1),
        ("EINVAL of a flush", &unreadable, flush(), 1),
        ("ENOSPC or ENODEV of zeroes", &full, zero(0, 8), 1),
        ("a read after the end", &short, read(1, 1), 0),
        ("a read over the end", &short, read(0, 2), 512),
        ("EBADF", &short, write(0, 1), 1),
        ("EBADF of zeroes", &short, zero(0, 1), 1),
        ("a write behind the last byte that has room", &room, write(16, 8), 1),
        ("a write across the last byte that has room", &room, write(0, 16), 1),
        ("zeroes across the last byte that has room", &room, zero(0, 16), 1),
    ];
    for (about, file, chain, len) in table {
        let medium = || Files::new(file.try_clone().unwrap(), SIZE);
        for features in FORMATS {
            check_plain(&medium(), features, &chain, len, about);
            check_uring(medium(), features, &chain, len, about);
        }
    }
    // What there was room for has been written.
    let mut bytes = [1; 4096];
    std::os::unix::fs::FileExt::read_exact_at(&room, &mut bytes, 0).unwrap();
    assert_eq!(bytes, [0; 4096]);
}

/// One request by itself, and as one of a batch: those that come after it are answered, too.
fn check_plain(medium: &impl Storage, features: u64, chain: &DriverChain, len: u32, about: &str) {
    for count in [1, 3] {
        let options = AnyFixtureOptions { size: 64, features, memory_len: 1 << 20, ..Default::default() };
        let mut fixture = options.build_plain().unwrap();
        (0..count).for_each(|_| assert!(fixture.driver.add(chain).is_ok()));
        let served = BlockDevice::new(medium, id()).serve(&mut fixture.queue, 64).unwrap();
        assert_eq!((served.requests, served.errors), (count, count), "plain: {about}");
        for used in fixture.driver.reap_all().unwrap() {
            assert_eq!(used.writable().last(), Some(&IOERR), "plain: {about}");
            // A batch that fails is not looked at again to say how much of it came.
            assert!(used.len == len || used.len == 0, "plain: {about}: {}", used.len);
        }
    }
}

fn check_uring(medium: Files, features: u64, chain: &DriverChain, len: u32, about: &str) {
    let mut rig = Rig::new(medium, features, 8);
    (0..3).for_each(|_| rig.add(chain));
    for used in rig.finish(3) {
        assert_eq!((used.writable().last(), used.len), (Some(&IOERR), len), "io_uring: {about}");
    }
    assert_eq!(rig.disk.in_flight(), 0);
}
