//! Every type of request, from a driver that keeps to the rules.

use virtio_examples::blk::{MemStorage, feature};
use virtio_fake_driver::DriverChain;

use crate::disk::{
    DISCARD, Disk, FLUSH, GET_ID, IN, IOERR, OK, OUT, SECTOR, WRITE_ZEROES, header, pattern, request, segment,
};
use crate::storages::{Call, Recorder};

#[test]
fn in_returns_the_sectors() {
    let stored = pattern(8 * SECTOR);
    let mut disk = Disk::new(MemStorage::new(stored.clone()));
    for (sector, sectors) in [(0, 1), (3, 2), (7, 1), (0, 8), (8, 0), (0, 0)] {
        let len = sectors * SECTOR as u32;
        let reply = disk.send(&request(IN, sector, [], len));
        reply.check_ok(len.into(), len + 1);
        assert_eq!(reply.payload(), &stored[sector as usize * SECTOR..][..len as usize]);
    }
}

#[test]
fn out_stores_the_sectors() {
    let mut expected = pattern(8 * SECTOR);
    let mut disk = Disk::new(MemStorage::new(expected.clone()));
    for (sector, sectors, byte) in [(0, 1, 1), (3, 2, 2), (7, 1, 3), (8, 0, 4)] {
        let data = vec![byte; sectors * SECTOR];
        expected[sector * SECTOR..][..data.len()].copy_from_slice(&data);
        disk.send(&request(OUT, sector as u64, &data, 0)).check_ok(data.len() as u64, 1);
        assert_eq!(disk.stored(), expected);
    }
}

#[test]
fn in_and_out_longer_than_the_buffer_are_whole() {
    let sectors = 300;
    let data = pattern(sectors * SECTOR);
    let mut disk = Disk::new(MemStorage::new(vec![0; (sectors + 2) * SECTOR]));
    disk.send(&request(OUT, 1, &data, 0)).check_ok(data.len() as u64, 1);
    let reply = disk.send(&request(IN, 1, [], data.len() as u32));
    reply.check_ok(data.len() as u64, data.len() as u32 + 1);
    assert_eq!(reply.payload(), data);
    assert_eq!(disk.stored()[..SECTOR], [0; SECTOR]);
}

#[test]
fn get_id_is_padded_with_nuls() {
    let mut disk = Disk::new(MemStorage::new(vec![0; SECTOR]));
    let reply = disk.send(&request(GET_ID, 0, [], 20));
    reply.check_ok(20, 21);
    assert_eq!(reply.payload(), b"disk-0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
}

#[test]
fn flush_reaches_the_storage_even_with_data() {
    let mut disk = Disk::new(Recorder::new(4096));
    for data in [&[][..], &[1, 2, 3]] {
        disk.send(&request(FLUSH, 0, data, 0)).check_ok(0, 1);
        assert_eq!(disk.device.storage().take_calls(), [Call::Flush]);
    }
}

#[test]
fn discard_and_write_zeroes_reach_the_storage_segment_by_segment() {
    let mut disk = Disk::new(Recorder::new(8 * SECTOR as u64));
    disk.device.accept(feature::FLUSH);
    let segments = [segment(0, 1, 0), segment(8, 0, 0), segment(2, 6, 0)].concat();
    disk.send(&request(DISCARD, 0, &segments, 0)).check_ok(7 * 512, 1);
    // Not for an empty one: `fallocate` does not take it.
    let ranges = [(0, 512), (1024, 3072)];
    assert_eq!(disk.device.storage().take_calls(), ranges.map(|(offset, len)| Call::Discard(offset, len)));
    disk.send(&request(WRITE_ZEROES, 0, &segments, 0)).check_ok(7 * 512, 1);
    assert_eq!(disk.device.storage().take_calls(), ranges.map(|(offset, len)| Call::WriteZeroes(offset, len)));
}

#[test]
fn write_zeroes_reads_back_as_zeroes_whether_or_not_it_may_unmap() {
    for flags in [0, 1] {
        let mut expected = pattern(64 * SECTOR);
        let mut disk = Disk::new(MemStorage::new(expected.clone()));
        disk.send(&request(WRITE_ZEROES, 0, segment(3, 21, flags), 0)).check_ok(21 * 512, 1);
        expected[3 * SECTOR..24 * SECTOR].fill(0);
        assert_eq!(disk.stored(), expected);
    }
}

/// A driver that does not flush has its writes made stable one by one.
#[test]
fn writes_are_flushed_unless_the_driver_accepted_to_do_so() {
    let mut disk = Disk::new(Recorder::new(4096));
    let flushes = |disk: &mut Disk<Recorder>| {
        let requests = [
            request(OUT, 0, [0; SECTOR], 0),
            request(WRITE_ZEROES, 0, segment(0, 1, 0), 0),
            request(DISCARD, 0, segment(0, 1, 0), 0),
            request(IN, 0, [], 512),
        ];
        requests.map(|request| {
            assert_eq!(disk.send(&request).status(), OK);
            disk.device.storage().take_calls().contains(&Call::Flush)
        })
    };
    assert_eq!(flushes(&mut disk), [true, true, false, false]);
    disk.device.accept(feature::FLUSH | feature::DISCARD);
    assert_eq!(flushes(&mut disk), [false; 4]);
    disk.device.accept(feature::DISCARD);
    assert_eq!(flushes(&mut disk), [true, true, false, false]);
}

#[test]
fn storage_errors_are_ioerr_and_named() {
    let requests = [
        (request(IN, 0, [], 512), 0),
        (request(OUT, 0, [0; SECTOR], 0), 1),
        (request(FLUSH, 0, [], 0), 1),
        (request(DISCARD, 0, segment(0, 1, 0), 0), 1),
        (request(WRITE_ZEROES, 0, segment(0, 1, 0), 0), 1),
    ];
    let mut disk = Disk::new(Recorder { fails_from: 0, ..Recorder::new(4096) });
    for (request, len) in requests {
        let reply = disk.send(&request);
        assert_eq!((reply.status(), reply.len), (IOERR, len));
        assert_eq!(reply.error(), "the storage failed: out of order");
    }
}

/// SPLIT-USED-4: the driver is told of what was read before the error, not of the status behind the hole. So many
/// pieces are not read together.
#[test]
fn in_that_fails_half_way_reports_the_first_half() {
    let half = 64 * 512;
    let mut disk = Disk::new(Recorder { fails_from: 512 + u64::from(half), ..Recorder::new(1 << 20) });
    let cuts: Vec<u32> = vec![512; 128];
    let reply = disk.send(&DriverChain::new().readable(header(IN, 1)).writable_cut(2 * half + 1, &cuts));
    assert_eq!((reply.status(), reply.len), (IOERR, half));
}

#[test]
fn out_ignores_room_before_the_status() {
    let mut disk = Disk::new(MemStorage::new(vec![0; SECTOR]));
    let reply = disk.send(&request(OUT, 0, [7; SECTOR], 9));
    assert_eq!((reply.status(), reply.len), (OK, 0));
    assert_eq!(disk.stored(), [7; SECTOR]);
}

#[test]
fn a_storage_can_be_shared_by_two_devices() {
    let storage = MemStorage::new(vec![0; SECTOR]);
    let (mut first, mut second) = (Disk::new(&storage), Disk::new(&storage));
    first.send(&request(OUT, 0, [7; SECTOR], 0)).check_ok(512, 1);
    let chain = DriverChain::new().readable(crate::disk::header(IN, 0)).writable(512).writable(1);
    assert_eq!(second.send(&chain).payload(), [7; SECTOR]);
}
