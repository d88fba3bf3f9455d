//! Requests that a driver must not make: what it gets for them.

use virtio_examples::blk::MemStorage;
use virtio_fake_driver::DriverChain;

use crate::disk::{
    DISCARD, Disk, GET_ID, IN, IOERR, OUT, SECTOR, UNSUPP, WRITE_ZEROES, header, pattern, request, segment,
};
use crate::storages::Recorder;

/// Sectors of the device.
const CAPACITY: u64 = 1 << 14;

/// Checks the status, the used length and the error for each request, and that nothing was done.
fn check(storage: Recorder, table: impl IntoIterator<Item = (DriverChain, u8, u32, &'static str)>) {
    let mut disk = Disk::new(storage);
    for (chain, status, len, error) in table {
        let reply = disk.send(&chain);
        assert_eq!(reply.error(), error);
        assert_eq!((reply.status(), reply.len), (status, len), "{error}");
        assert_eq!(disk.device.storage().take_calls(), [], "{error}");
    }
}

#[test]
fn unknown_types_are_unsupp() {
    let types = [2, 3, 5, 10, 14, 16, 0x8000_0000, u32::MAX];
    for kind in types {
        let mut disk = Disk::new(Recorder::new(CAPACITY * 512));
        for (writable, len) in [(0, 1), (512, 0)] {
            let reply = disk.send(&request(kind, 0, [0; SECTOR], writable));
            assert_eq!((reply.status(), reply.len), (UNSUPP, len));
            assert_eq!(reply.error(), format!("unknown request type {kind}"));
        }
    }
}

#[test]
fn in_and_out_of_what_is_not_there_are_ioerr() {
    let data = [0; 2 * SECTOR];
    check(
        Recorder::new(CAPACITY * 512),
        [
            (request(IN, CAPACITY, [], 512), IOERR, 0, "1 sectors from 16384 on, of a device of 16384"),
            (request(IN, CAPACITY - 1, [], 1024), IOERR, 0, "2 sectors from 16383 on, of a device of 16384"),
            (request(IN, CAPACITY + 1, [], 0), IOERR, 1, "0 sectors from 16385 on, of a device of 16384"),
            (request(OUT, CAPACITY - 1, data, 0), IOERR, 1, "2 sectors from 16383 on, of a device of 16384"),
            // `sector * 512` is 0, and 2^64 - 512, and `sector + sectors` is 0.
            (request(OUT, 1 << 55, data, 0), IOERR, 1, "2 sectors from 36028797018963968 on, of a device of 16384"),
            (
                request(IN, (1 << 55) - 1, [], 512),
                IOERR,
                0,
                "1 sectors from 36028797018963967 on, of a device of 16384",
            ),
            (request(IN, u64::MAX, [], 512), IOERR, 0, "1 sectors from 18446744073709551615 on, of a device of 16384"),
        ],
    );
}

#[test]
fn lengths_that_are_no_sectors_are_ioerr() {
    check(
        Recorder::new(CAPACITY * 512),
        [
            (request(IN, 0, [], 511), IOERR, 0, "511 bytes of payload where 512 at a time are wanted"),
            (request(IN, 0, [], 1), IOERR, 0, "1 bytes of payload where 512 at a time are wanted"),
            (request(OUT, 0, [0; 513], 0), IOERR, 1, "513 bytes of payload where 512 at a time are wanted"),
            (request(GET_ID, 0, [], 0), IOERR, 1, "0 bytes of payload where 20 at a time are wanted"),
            (request(GET_ID, 0, [], 19), IOERR, 0, "19 bytes of payload where 20 at a time are wanted"),
            (request(GET_ID, 0, [], 21), IOERR, 0, "21 bytes of payload where 20 at a time are wanted"),
        ],
    );
}

#[test]
fn segments_that_make_no_sense_are_refused() {
    for kind in [DISCARD, WRITE_ZEROES] {
        let request = |segments: &[Vec<u8>]| request(kind, 0, segments.concat(), 0);
        let good = || segment(0, 1, 0);
        check(
            Recorder::new(CAPACITY * 512),
            [
                (request(&[]), IOERR, 1, "0 bytes of payload where 16 at a time are wanted"),
                (request(&[vec![0; 15]]), IOERR, 1, "15 bytes of payload where 16 at a time are wanted"),
                (request(&[good(), vec![0]]), IOERR, 1, "17 bytes of payload where 16 at a time are wanted"),
                (request(&vec![good(); 17]), IOERR, 1, "17 segments: there must be at most 16"),
                (
                    request(&[good(), segment(0, 8193, 0)]),
                    IOERR,
                    1,
                    "a segment of 8193 sectors: it must have at most 8192",
                ),
                (
                    request(&[good(), segment(CAPACITY, 1, 0)]),
                    IOERR,
                    1,
                    "1 sectors from 16384 on, of a device of 16384",
                ),
                (
                    request(&[segment(u64::MAX, 1, 0)]),
                    IOERR,
                    1,
                    "1 sectors from 18446744073709551615 on, of a device of 16384",
                ),
                // Flags come first, wherever they are.
                (request(&[segment(CAPACITY, 1, 0), segment(0, 1, 2)]), UNSUPP, 1, "unknown flags 0x2"),
                (request(&[segment(0, u32::MAX, 0x8000_0001 & !1)]), UNSUPP, 1, "unknown flags 0x80000000"),
            ],
        );
    }
}

#[test]
fn unmap_is_unsupp_for_discard_alone() {
    check(Recorder::new(CAPACITY * 512), [(request(DISCARD, 0, segment(0, 1, 1), 0), UNSUPP, 1, "unknown flags 0x1")]);
    let mut disk = Disk::new(Recorder::new(CAPACITY * 512));
    disk.send(&request(WRITE_ZEROES, 0, segment(0, 1, 1), 0)).check_ok(512, 1);
}

#[test]
fn the_largest_segments_are_served() {
    for kind in [DISCARD, WRITE_ZEROES] {
        let mut disk = Disk::new(Recorder::new(CAPACITY * 512));
        let segments = segment(CAPACITY - 8192, 8192, 0).repeat(16);
        disk.send(&request(kind, 0, segments, 0)).check_ok(16 * 8192 * 512, 1);
    }
}

#[test]
fn changes_to_a_read_only_device_are_ioerr() {
    let storage = Recorder { read_only: true, ..Recorder::new(CAPACITY * 512) };
    check(
        storage,
        [
            (request(OUT, 0, [0; SECTOR], 0), IOERR, 1, "the device is read-only"),
            (request(OUT, u64::MAX, [0; 3], 0), IOERR, 1, "the device is read-only"),
            (request(DISCARD, 0, segment(0, 1, 0), 0), IOERR, 1, "the device is read-only"),
            (request(WRITE_ZEROES, 0, segment(0, 1, 0), 0), IOERR, 1, "the device is read-only"),
            (request(DISCARD, 0, segment(0, 1, 1), 0), UNSUPP, 1, "unknown flags 0x1"),
        ],
    );
}

#[test]
fn a_part_of_a_header_is_ioerr() {
    let short = |len: usize| header(IN, 0)[..len].to_vec();
    check(
        Recorder::new(CAPACITY * 512),
        [
            (
                DriverChain::new().readable(short(15)).writable(1),
                IOERR,
                1,
                "the chain must have 16 bytes left, and has 15",
            ),
            (
                DriverChain::new().readable(short(1)).writable(513),
                IOERR,
                0,
                "the chain must have 16 bytes left, and has 1",
            ),
            (DriverChain::new().writable(1), IOERR, 1, "the chain must have 16 bytes left, and has 0"),
        ],
    );
}

/// A device of a storage that is not made of whole sectors has a last one that is not all there.
#[test]
fn the_padding_of_the_last_sector_is_zero_and_stays_so() {
    let stored = pattern(SECTOR + 100);
    let mut disk = Disk::new(MemStorage::new(stored.clone()));
    let reply = disk.send(&request(IN, 0, [], 1024));
    reply.check_ok(1024, 1025);
    assert_eq!(reply.payload(), [&stored[..], &[0; 412]].concat());
    // Nor is it what was read before.
    assert_eq!(disk.send(&request(IN, 1, [], 512)).payload()[100..], [0; 412]);

    let mut data = [7; SECTOR];
    let reply = disk.send(&request(OUT, 1, data, 0));
    assert_eq!((reply.status(), reply.len), (IOERR, 1));
    assert_eq!(reply.error(), "the storage failed: the last sector is not all there");
    assert_eq!(disk.stored(), stored);

    data[100..].fill(0);
    disk.send(&request(OUT, 1, data, 0)).check_ok(512, 1);
    assert_eq!(disk.stored(), [&stored[..SECTOR], &[7; 100]].concat());

    disk.send(&request(WRITE_ZEROES, 0, segment(1, 1, 0), 0)).check_ok(100, 1);
    assert_eq!(disk.stored(), [&stored[..SECTOR], &[0; 100]].concat());
    assert_eq!(disk.send(&request(IN, 2, [], 512)).status(), IOERR);
}
