//! A disk on io_uring that answers in order.

use std::thread;

use virtio_examples::blk::{BlockDevice, FileStorage};

use super::medium::Pipe;
use super::rig::{FORMATS, Rig, id};
use super::{flush, read, write};
use crate::blk_file::TempFile;
use crate::disk::{GET_ID, IOERR, OK, SECTOR, pattern, request};

/// FEAT-14, SPLIT-ORD-1, PACK-INO-1: what is early waits, and so does what needs no medium. Then all of it comes, as it
/// was sent.
#[test]
fn requests_that_end_early_wait_for_those_before_them() {
    for features in FORMATS {
        let (medium, pipe) = Pipe::new();
        let mut rig = Rig::in_order(BlockDevice::new(medium, id()), features, 8);
        let chains = [read(0, 1), request(GET_ID, 0, [], 20), read(1 << 40, 1), read(0, 2), flush()];
        let ids = chains.map(|chain| rig.driver.add(&chain).unwrap());
        rig.serve();
        assert_eq!((rig.disk.in_flight(), rig.driver.reap_all().unwrap().len()), (5, 0));
        pipe.write(&[1; SECTOR]);
        // Any of the reads can have had the first bytes.
        pipe.write(&[1; 2 * SECTOR]);
        let used = rig.finish(5);
        assert_eq!(used.iter().map(|used| used.id).collect::<Vec<_>>(), ids);
        // A pipe cannot be flushed.
        let statuses = used.iter().map(|used| *used.writable().last().unwrap()).collect::<Vec<_>>();
        assert_eq!((statuses, rig.disk.in_flight()), (vec![OK, OK, IOERR, OK, IOERR], 0));
    }
}

/// Those that wait for their turn take room, so that what is held is bounded.
#[test]
fn requests_that_wait_for_their_turn_take_room() {
    for features in FORMATS {
        let (medium, pipe) = Pipe::new();
        let mut rig = Rig::in_order(BlockDevice::new(medium, id()), features, 5);
        let mut ids = vec![rig.driver.add(&read(0, 1)).unwrap()];
        ids.extend((0..20).map(|_| rig.driver.add(&request(GET_ID, 0, [], 20)).unwrap()));
        rig.serve();
        assert_eq!((rig.disk.in_flight(), rig.disk.has_room(), rig.queue.chains_out()), (5, false, 5));
        pipe.write(&[3; SECTOR]);
        assert_eq!(rig.finish(21).iter().map(|used| used.id).collect::<Vec<_>>(), ids);
    }
}

#[test]
fn order_is_kept_over_many_rounds() {
    for features in FORMATS {
        let model = pattern(128 * SECTOR);
        let file = TempFile::new(&model);
        let storage = FileStorage::open(file.path()).unwrap();
        let storage = match FileStorage::open(file.path()).unwrap().past_the_page_cache() {
            Ok(past) => past,
            Err(_) => storage,
        };
        let mut rig = Rig::in_order(BlockDevice::new(storage, id()), features, 16);
        for round in 0..50 {
            let chains = (0..64).map(|at| match (at + round) % 4 {
                0 => write(at * 2, &model[at as usize * 2 * SECTOR..][..SECTOR]),
                1 => flush(),
                _ => read(at * 2, 1 + at as usize % 2),
            });
            let ids: Vec<_> = chains.map(|chain| rig.driver.add(&chain).unwrap()).collect();
            let used = rig.finish(64);
            assert_eq!(used.iter().map(|used| used.id).collect::<Vec<_>>(), ids);
            assert!(used.iter().all(|used| used.writable().last() == Some(&OK)));
        }
        assert!(file.bytes() == model);
    }
}

#[test]
fn reset_drops_those_that_wait_for_their_turn() {
    for features in FORMATS {
        let (medium, pipe) = Pipe::new();
        let mut rig = Rig::in_order(BlockDevice::new(medium, id()), features, 16);
        rig.add(&read(0, 1));
        (0..8).for_each(|_| rig.add(&request(GET_ID, 0, [], 20)));
        rig.serve();
        rig.queue.reset();
        let feeder = thread::spawn(move || pipe.write(&[3; SECTOR]));
        rig.disk.finish();
        assert_eq!((rig.queue.chains_out(), rig.disk.in_flight()), (0, 0));
        feeder.join().unwrap();
        assert!(rig.driver.reap_all().unwrap().is_empty());
    }
}
