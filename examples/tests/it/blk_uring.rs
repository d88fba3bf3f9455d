//! The disk on io_uring: what is in flight, what goes wrong with it, and in which order it ends.

mod clearing;
mod given_up;
mod medium;
mod order;
mod rig;
mod same;
mod sandbox;

use std::cell::RefCell;
use std::fs;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::thread;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use virtio_examples::blk::uring::UringDisk;
use virtio_examples::blk::{BlockDevice, FileStorage, MemStorage, Storage, feature};
use virtio_fake_driver::hostile::{DeviceResult, HostileMem, Kit, Setup};
use virtio_fake_driver::{DriverChain, features};
use virtio_mem_traits::{Access, DriverMem, HeapMem};
use virtio_util::SharedQueue;

use crate::blk_file::TempFile;
use crate::disk::{FLUSH, GET_ID, IN, IOERR, OK, OUT, SECTOR, WRITE_ZEROES, header, pattern, request, segment};
use crate::vhost_user::wait_readable;
use sandbox::refuse_entering;

pub(crate) use medium::{Files, Pipe};
pub(crate) use rig::{FORMATS, Rig, id};
pub(crate) use sandbox::refuse_io_uring;

/// Returns a read of so many sectors.
fn read(sector: u64, sectors: usize) -> DriverChain {
    DriverChain::new().readable(header(IN, sector)).writable((sectors * SECTOR) as u32).writable(1)
}

/// Returns a write.
fn write(sector: u64, bytes: &[u8]) -> DriverChain {
    DriverChain::new().readable(header(OUT, sector)).readable(bytes).writable(1)
}

fn flush() -> DriverChain {
    DriverChain::new().readable(header(FLUSH, 0)).writable(1)
}

/// What a request of a batch does to its part of the disk.
enum Deed {
    Read,
    Written(Vec<u8>),
    Zeroed,
    Flushed,
    Refused,
}

/// Random requests of a batch, each with a part of the disk to itself, so that their order makes no difference.
#[test]
fn requests_in_flight_do_what_a_list_of_bytes_does() {
    const PART: usize = 8;
    for (features, depth) in FORMATS.into_iter().zip([128, 3]) {
        let mut rng = SmallRng::seed_from_u64(features);
        let mut model = pattern(100 * PART * SECTOR);
        let file = TempFile::new(&model);
        let mut rig = Rig::new(FileStorage::open(file.path()).unwrap(), features, depth);
        for _ in 0..20 {
            let mut deeds = Vec::new();
            for part in 0..100 {
                let (start, count) = (part * PART + rng.random_range(0..4), rng.random_range(1..=4));
                let bytes = start * SECTOR..(start + count) * SECTOR;
                let cut = rng.random_range(0..=bytes.len());
                let (chain, deed) = match rng.random_range(0..6) {
                    0 | 1 => {
                        let chain = DriverChain::new().readable(header(IN, start as u64));
                        (chain.writable_cut(bytes.len() as u32 + 1, &[cut as u32]), Deed::Read)
                    }
                    2 => {
                        let data: Vec<u8> = bytes.clone().map(|_| rng.random()).collect();
                        let chain = DriverChain::new().readable(header(OUT, start as u64)).readable_cut(&data, &[cut]);
                        (chain.writable(1), Deed::Written(data))
                    }
                    3 => {
                        let readable = [header(WRITE_ZEROES, 0), segment(start as u64, count as u32, 0)].concat();
                        (DriverChain::new().readable(readable).writable(1), Deed::Zeroed)
                    }
                    4 => (read(1 << 40, 1), Deed::Refused),
                    _ => (flush(), Deed::Flushed),
                };
                let id = rig.driver.add(&chain).unwrap();
                deeds.push((id, bytes, deed));
            }
            for used in rig.finish(100) {
                let at = deeds.iter().position(|(id, ..)| *id == used.id).unwrap();
                let (_, bytes, deed) = deeds.swap_remove(at);
                let writable = used.writable();
                let (status, payload) = writable.split_last().unwrap();
                match deed {
                    Deed::Read => {
                        assert_eq!((*status, used.len as usize, payload), (OK, bytes.len() + 1, &model[bytes]));
                    }
                    Deed::Written(data) => {
                        assert_eq!((*status, used.len), (OK, 1));
                        model[bytes].copy_from_slice(&data);
                    }
                    Deed::Zeroed => {
                        assert_eq!((*status, used.len), (OK, 1));
                        model[bytes].fill(0);
                    }
                    Deed::Refused => assert_eq!((*status, used.len), (IOERR, 0)),
                    Deed::Flushed => assert_eq!((*status, used.len), (OK, 1)),
                }
            }
            assert!(deeds.is_empty());
        }
        assert!(file.bytes() == model);
    }
}

/// More pieces than the kernel is handed at a time.
#[test]
fn request_of_many_pieces_is_moved_part_by_part() {
    for features in FORMATS {
        let model = pattern(200 * SECTOR);
        let file = TempFile::new(&model);
        let mut rig = Rig::new(FileStorage::open(file.path()).unwrap(), features, 8);
        let cuts = vec![SECTOR as u32; 99];
        let chain = DriverChain::new().readable(header(IN, 7)).writable_cut(100 * SECTOR as u32, &cuts).writable(1);
        rig.add(&chain);
        let used = rig.finish(1).remove(0);
        assert_eq!(used.len as usize, 100 * SECTOR + 1);
        assert_eq!(used.writable()[..100 * SECTOR], model[7 * SECTOR..107 * SECTOR]);
        let cuts = vec![SECTOR; 99];
        let chain = DriverChain::new().readable(header(OUT, 20)).readable_cut(&model[..100 * SECTOR], &cuts);
        rig.add(&chain.writable(1));
        assert_eq!(rig.finish(1).remove(0).writable(), [OK]);
        assert_eq!(file.bytes()[20 * SECTOR..120 * SECTOR], model[..100 * SECTOR]);
    }
}

/// Reads wait for a medium. What need not wait is answered meanwhile, and the others in the end.
#[test]
fn requests_are_answered_in_the_order_in_which_they_end() {
    for features in FORMATS {
        let (medium, pipe) = Pipe::new();
        let mut rig = Rig::new(medium, features, 8);
        let reads = [0, 1].map(|sector| rig.driver.add(&read(sector, 1)).unwrap());
        let name = rig.driver.add(&request(GET_ID, 0, [], 20)).unwrap();
        let used = rig.finish(1).remove(0);
        assert_eq!((used.id, rig.disk.in_flight()), (name, 2));
        assert_eq!(used.writable()[..6], *b"disk-0");
        pipe.write(&pattern(2 * SECTOR));
        let mut ids = rig.finish(2).iter().map(|used| (used.id, used.len)).collect::<Vec<_>>();
        ids.sort_unstable();
        let mut expected = reads.map(|id| (id, 513));
        expected.sort_unstable();
        assert_eq!(ids, expected);
    }
}

/// The used length has the bytes before the hole, and the status is in its place.
#[test]
fn read_that_ends_too_early_counts_what_came() {
    for features in FORMATS {
        let (medium, pipe) = Pipe::new();
        let mut rig = Rig::new(medium, features, 8);
        rig.add(&read(0, 2));
        rig.serve();
        pipe.write(&[7; 600]);
        drop(pipe);
        let used = rig.finish(1).remove(0);
        let writable = used.writable();
        assert_eq!((used.len, writable.last()), (600, Some(&IOERR)));
        assert_eq!(writable[..600], [7; 600]);
    }
}

#[test]
fn write_that_is_done_in_parts_goes_on_where_it_stopped() {
    const ROOM: usize = 4096;
    for features in FORMATS {
        let (medium, pipe) = Pipe::with_room(ROOM);
        let mut device = BlockDevice::new(medium, id());
        device.accept(feature::FLUSH);
        let mut rig = Rig::with_device(device, features, 8);
        let bytes = pattern(2 * ROOM);
        rig.add(&write(0, &bytes));
        rig.serve();
        assert!(pipe.read(ROOM) == bytes[..ROOM]);
        let used = rig.finish(1).remove(0);
        assert_eq!((used.len, used.writable()), (1, &[OK][..]));
        assert!(pipe.read(ROOM) == bytes[ROOM..]);
    }
}

/// A request is what it was when it was taken, also if its first operation moved only a part of it.
#[test]
fn header_that_changes_in_flight_changes_nothing() {
    for features in FORMATS {
        let (medium, pipe) = Pipe::new();
        let mut rig = Rig::new(medium, features, 8);
        let place = rig.driver.pool().alloc(16, 16).unwrap();
        rig.add(&DriverChain::new().readable(header(IN, 0)).at(place.start()).writable(1024).writable(1));
        rig.serve();
        let mem = rig.mem.upgrade().unwrap();
        let header = mem.translate_all(place, Access::Write).unwrap();
        header.write_bytes(0, &[0xff; 16]).unwrap();
        pipe.write(&[7; 600]);
        rig.serve();
        pipe.write(&[8; 424]);
        let used = rig.finish(1).remove(0);
        assert_eq!((used.len, used.writable().last()), (1025, Some(&OK)));
        assert_eq!((&used.writable()[..600], &used.writable()[600..1024]), (&[7; 600][..], &[8; 424][..]));
    }
}

/// A flush need not wait for a write that is in flight: only for those that were answered.
#[test]
fn flush_is_answered_while_others_are_in_flight() {
    let file = TempFile::new(&pattern(64 * SECTOR));
    for features in FORMATS {
        let mut rig = Rig::new(FileStorage::open(file.path()).unwrap(), features, 64);
        for sector in 0..32 {
            rig.add(&write(sector, &[9; SECTOR]));
            rig.add(&flush());
        }
        assert!(rig.finish(64).iter().all(|used| used.writable() == [OK]));
    }
}

#[test]
fn no_more_are_in_flight_than_there_is_room_for() {
    for features in FORMATS {
        let (medium, pipe) = Pipe::new();
        let mut rig = Rig::new(medium, features, 5);
        (0..20).for_each(|_| rig.add(&read(0, 1)));
        rig.serve();
        assert_eq!((rig.disk.in_flight(), rig.disk.has_room(), rig.queue.chains_out()), (5, false, 5));
        pipe.write(&[3; 20 * SECTOR]);
        assert!(rig.finish(20).iter().all(|used| used.written() == [&[3; SECTOR][..], &[OK]].concat()));
    }
}

/// A driver that writes while the kernel does: the device is reset, and what it has done is not seen.
#[test]
fn reset_with_requests_in_flight_waits_for_the_kernel() {
    for features in FORMATS {
        let (medium, pipe) = Pipe::new();
        let mut rig = Rig::new(medium, features, 128);
        (0..128).for_each(|_| rig.add(&read(0, 1)));
        rig.serve();
        rig.queue.reset();
        assert_eq!(rig.queue.chains_out(), 128);
        let feeder = thread::spawn(move || pipe.write(&[3; 128 * SECTOR]));
        rig.disk.finish();
        assert_eq!((rig.queue.chains_out(), rig.disk.in_flight()), (0, 0));
        feeder.join().unwrap();
        assert!(rig.driver.reap_all().unwrap().is_empty());
    }
}

/// The kernel can still write to memory of what is in flight, and of what was taken and not handed to it.
#[test]
fn disk_that_is_dropped_leaves_the_memory_of_requests_in_flight_where_it_is() {
    for features in FORMATS {
        for requests in [0, 1, 8] {
            let (medium, pipe) = Pipe::new();
            let mut rig = Rig::new(medium, features, 8);
            (0..requests).for_each(|_| rig.add(&read(0, 1)));
            if requests == 8 {
                rig.take()
            } else {
                rig.serve()
            }
            assert_eq!(rig.disk.in_flight(), requests);
            let mem = Weak::clone(&rig.mem);
            drop((rig, pipe));
            assert_eq!(mem.upgrade().is_some(), requests > 0);
        }
    }
}

/// A sandbox can let an io_uring be made that nobody may enter.
#[test]
fn kernel_that_is_never_entered_has_no_io_uring() {
    let file = TempFile::new(&[0; SECTOR]);
    let disk = thread::spawn(move || {
        refuse_entering(libc::EPERM);
        let device = BlockDevice::new(FileStorage::open(file.path()).unwrap(), id());
        UringDisk::<_, Arc<HeapMem>>::new(device, 8).map(drop)
    });
    assert_eq!(disk.join().unwrap().unwrap_err().raw_os_error(), Some(libc::EPERM));
}

/// The kernel can refuse for a while, or for good.
#[test]
fn kernel_that_refuses_is_asked_again_or_given_up() {
    for (error, again) in [(libc::EAGAIN, true), (libc::EBUSY, true), (libc::ENXIO, false)] {
        let file = TempFile::new(&pattern(200 * SECTOR));
        let mut rig = Rig::new(FileStorage::open(file.path()).unwrap(), 0, 128);
        let ids: Vec<_> = (0..100).map(|sector| rig.driver.add(&read(sector, 1)).unwrap()).collect();
        let mut rig = thread::spawn(move || {
            refuse_entering(error);
            for _ in 0..3 {
                rig.take();
                let turn = rig.disk.turn();
                assert_eq!(turn.is_ok_and(|progress| progress.again && progress.ended == 0), again);
            }
            rig
        })
        .join()
        .unwrap();
        assert_eq!(rig.disk.in_flight(), 100);
        assert!(rig.driver.reap_all().unwrap().is_empty());
        // Somebody whom it does not refuse.
        let used = rig.finish(100);
        let mut answered: Vec<_> = used.iter().map(|used| used.id).collect();
        answered.sort_unstable();
        let mut ids = ids;
        ids.sort_unstable();
        assert_eq!(answered, ids);
        assert!(used.iter().all(|used| used.len == 513));
    }
}

/// Pieces and offsets of all kinds, past the page cache where they are aligned.
#[test]
fn requests_past_the_page_cache_do_what_others_do() {
    let mut model = pattern(64 * SECTOR + 100);
    let file = TempFile::new(&model);
    let Ok(storage) = FileStorage::open(file.path()).unwrap().past_the_page_cache() else { return };
    let block = storage.block_size() as usize;
    for features in FORMATS {
        let mut rig = Rig::new(&storage, features, 8);
        // Aligned pieces, a piece that begins within a block, and pieces that end in one.
        for (misplaced, cut) in [(0, block), (1, block), (0, 700)] {
            for (sector, sectors) in [(0, 16), (8, 8), (3, 9), (56, 8), (63, 1)] {
                let len = sectors * SECTOR;
                let place = rig.driver.pool().alloc(len as u64 + 8192, 4096).unwrap().after(misplaced).start();
                let bytes = sector * SECTOR..sector * SECTOR + len;
                let data: Vec<u8> = bytes.clone().map(|at| (at / 3) as u8 ^ cut as u8).collect();
                let chain = DriverChain::new().readable(header(OUT, sector as u64));
                let chain = chain.readable(&data[..len.min(cut)]).at(place).readable(&data[len.min(cut)..]);
                rig.add(&chain.writable(1));
                assert_eq!(rig.finish(1).remove(0).writable(), [OK]);
                model[bytes.clone()].copy_from_slice(&data);
                let chain = DriverChain::new().readable(header(IN, sector as u64)).writable(len as u32).at(place);
                rig.add(&chain.writable(1));
                let used = rig.finish(1).remove(0);
                assert_eq!((used.len as usize, &used.writable()[..len]), (len + 1, &model[bytes]));
            }
        }
    }
    assert!(file.bytes() == model);
}

#[test]
fn storage_that_is_no_file_is_refused() {
    let device = BlockDevice::new(MemStorage::new(vec![0; SECTOR]), id());
    let error = UringDisk::<_, Arc<HeapMem>>::new(device, 8).unwrap_err();
    assert_eq!(error.to_string(), "the storage is not a file");
}

/// Without FLUSH, what was answered is stable. That cannot be seen from here, but the kernel has to know the flag.
#[test]
fn writes_without_flush_are_written_through() {
    for accepted in [0, feature::FLUSH] {
        let file = TempFile::new(&[0; 4 * SECTOR]);
        let mut device = BlockDevice::new(FileStorage::open(file.path()).unwrap(), id());
        device.accept(accepted);
        let mut rig = Rig::with_device(device, 0, 8);
        rig.add(&write(1, &[5; SECTOR]));
        assert_eq!(rig.finish(1).remove(0).writable(), [OK]);
        assert_eq!(file.bytes()[SECTOR..2 * SECTOR], [5; SECTOR]);
    }
}

/// A device on io_uring under attack. All attacks have the same io_uring.
type Attacked = Rc<RefCell<UringDisk<FileStorage, Arc<HostileMem>>>>;

fn attacked(setup: &Setup, disk: &Attacked) -> DeviceResult<impl FnMut() -> DeviceResult + use<>> {
    let (queue, disk) = (SharedQueue::new(setup.queue()?), Rc::clone(disk));
    // What is left of an attack that has stopped the device.
    disk.borrow_mut().finish();
    Ok(move || {
        let mut disk = disk.borrow_mut();
        loop {
            let mut found = false;
            while let Some(chain) = queue.next_chain().inspect_err(|_| disk.finish())? {
                found = true;
                disk.take(chain);
                if !disk.has_room() {
                    break;
                }
            }
            if disk.turn()?.ended == 0 && !found {
                if disk.in_flight() == 0 {
                    return Ok(());
                }
                wait_readable(&**disk.event(), "the kernel");
            }
        }
    })
}

#[test]
fn disk_on_io_uring_keeps_all_promises() {
    let file = TempFile::new(&pattern(4 * SECTOR));
    let mut device = BlockDevice::new(FileStorage::open(file.path()).unwrap(), id());
    device.accept(feature::FLUSH);
    let disk = Rc::new(RefCell::new(UringDisk::new(device, 16).unwrap()));
    let kit = Kit::new().request(read(1, 1)).request(write(2, &[7; SECTOR])).request(flush());
    let report = kit.run_device(|setup| attacked(&setup, &disk));
    println!("{report}");
    assert!(report.passed(), "{report}");
}

/// The size stays, whatever is written.
#[test]
fn file_never_becomes_longer() {
    let file = TempFile::new(&[1; 3 * SECTOR + 100]);
    let storage = FileStorage::open(file.path()).unwrap();
    assert_eq!(storage.size(), 3 * SECTOR as u64 + 100);
    for features in FORMATS {
        let mut rig = Rig::new(FileStorage::open(file.path()).unwrap(), features | features::INDIRECT_DESC, 8);
        // The last sector is padded.
        rig.add(&read(3, 1));
        let used = rig.finish(1).remove(0);
        assert_eq!((used.len, &used.writable()[..101]), (513, &[[1; 100].as_slice(), &[0]].concat()[..]));
        rig.add(&write(3, &[2; SECTOR]));
        assert_eq!(rig.finish(1).remove(0).writable(), [IOERR]);
    }
    assert_eq!(fs::metadata(file.path()).unwrap().len(), 3 * SECTOR as u64 + 100);
    let _: io::Result<()> = storage.flush();
}
