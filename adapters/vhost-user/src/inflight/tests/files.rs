//! Records in files, as back ends have them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{SealFlags, fcntl_get_seals};
use rustix::io::{FdFlags, fcntl_getfd};
use virtio_fake_driver::{DriverChain, Packed, Split};
use virtio_queue_core::{Armed, Head, Recorder};
use virtio_ring::packed::Descriptor;

use super::*;
use crate::inflight::any::{AnyRecorder, Kind};
use crate::inflight::{Inflight, any, layout};
use crate::shm::Shm;

/// A record, which is one part for a queue after the other.
pub(super) fn create(queues: u16, queue_size: u16) -> (File, Inflight) {
    let (file, size) = Inflight::create(queues, queue_size).unwrap();
    let record = Inflight::map(&file, 0, size, queues, queue_size).unwrap();
    (file, record)
}

fn read(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// There is room for either format. Nobody can make the file shorter, and no program that is started gets it.
#[test]
fn file_is_sealed_and_large_enough() {
    let (file, size) = Inflight::create(3, 8).unwrap();
    assert_eq!([size, Inflight::len(3, 8), file.metadata().unwrap().len()], [3 * 320; 3]);
    assert_eq!(fcntl_get_seals(&file).unwrap(), SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL);
    assert_eq!(fcntl_getfd(&file).unwrap(), FdFlags::CLOEXEC);
}

/// Each queue has a part of its own, which does not reach into another.
#[test]
fn parts_of_queues_are_apart() {
    fn check<F: Recorded>(stride: usize) {
        let (file, record) = create(3, 8);
        for index in 0..3 {
            let part = record.queue::<RingOf<F>>(index).unwrap();
            part.store(layout::Common::VERSION, index as u16 + 1);
        }
        let versions = |bytes: &[u8]| {
            let places = [0, 1, 2].map(|index| index * stride + layout::Common::VERSION);
            places.map(|at| u16::from_ne_bytes([bytes[at], bytes[at + 1]]))
        };
        assert_eq!(versions(&read(&file)), [1, 2, 3]);
        record.forget::<RingOf<F>>(1);
        assert_eq!((versions(&read(&file)), read(&file).iter().filter(|byte| **byte != 0).count()), ([1, 0, 3], 2));
        let refused = record.queue::<RingOf<F>>(3).unwrap_err();
        assert!(matches!(refused, InflightError::Queue { index: 3, queues: 3 }), "{refused}");
    }
    check::<Split>(192);
    check::<Packed>(320);
}

/// Two lives of a queue with four descriptors, the first of which ends with chains in flight. Returns what the record
/// is after each step, and which chains were fetched.
fn lives<F: Recorded, K: Recorder + Clone>(
    wrap: impl Fn(<RingOf<F> as Recordable>::Recorder<Arc<Shm>>) -> K,
) -> (Vec<Vec<u8>>, Vec<u16>, Vec<Armed>) {
    let mem = Memory::new();
    let mut driver = driver::<F>(&mem, 4, None);
    let config = config(&driver);
    let (file, record) = create(1, 4);
    let (mut steps, mut fetched, mut armed) = (Vec::new(), Vec::new(), Vec::new());
    (0..3).for_each(|_| _ = driver.add(&DriverChain::new().writable(1)).unwrap());
    for _ in 0..2 {
        let ring = RingOf::<F>::from_config(&config, Rc::clone(&mem)).unwrap();
        let part = record.queue::<RingOf<F>>(0).unwrap();
        let (recorder, saved) = ring.resume(&config, part, start::<F>(&config, None)).unwrap();
        let ring = RecordedRing::new(ring, wrap(recorder));
        let mut queue = Queue::restore(ring, NotificationCounter::new(), &saved).unwrap().0;
        armed.push(queue.enable_notifications().unwrap());
        let mut tokens = Vec::new();
        let next = |queue: &mut Queue<_, _>| Some(queue.next_chain().unwrap()?.into_token());
        while let Some(token) = next(&mut queue) {
            fetched.push(token.id());
            steps.push(read(&file));
            queue.unfetch(token).unwrap();
            steps.push(read(&file));
            tokens.extend(next(&mut queue));
            steps.push(read(&file));
        }
        armed.push(queue.enable_notifications().unwrap());
        let mut burst = queue.burst();
        burst.complete(tokens.remove(1), 0).unwrap();
        steps.push(read(&file));
        burst.finish().unwrap();
        steps.push(read(&file));
    }
    (steps, fetched, armed)
}

/// RECORD-1: what is in flight is recorded, and what was put back is not.
#[test]
fn chain_that_is_put_back_is_not_recorded() {
    fn check<F: Recorded>(header: usize) {
        let mem = Memory::new();
        let mut driver = driver::<F>(&mem, 4, None);
        let config = config(&driver);
        let (file, record) = create(1, 4);
        let ring = RingOf::<F>::from_config(&config, Rc::clone(&mem)).unwrap();
        let part = record.queue::<RingOf<F>>(0).unwrap();
        let (recorder, saved) = ring.resume(&config, part, start::<F>(&config, None)).unwrap();
        let again = RecordedRing::new(ring, recorder);
        let mut queue = Queue::restore(again, NotificationCounter::new(), &saved).unwrap().0;
        driver.add(&DriverChain::new().writable(1)).unwrap();
        let in_flight = |file: &File| read(file)[header..].iter().step_by(header).filter(|byte| **byte == 1).count();
        for _ in 0..2 {
            let token = queue.next_chain().unwrap().unwrap().into_token();
            assert_eq!(in_flight(&file), 1);
            queue.unfetch(token).unwrap();
            assert_eq!(in_flight(&file), 0);
        }
    }
    check::<Split>(16);
    check::<Packed>(32);
}

/// BASE-2, HOST-30: a base that the ring cannot be at matters where nothing was recorded, and nowhere else.
#[test]
fn impossible_base_is_refused_if_there_is_no_record() {
    let mem = Memory::new();
    let config = config(&driver::<Packed>(&mem, 4, None));
    let (_, record) = create(1, 4);
    let ring = RingOf::<Packed>::from_config(&config, Rc::clone(&mem)).unwrap();
    let resume = |base| any::resume(&ring, &config, &record, 0, base).map(|(_, saved)| saved);
    let (impossible, start) = (SavedQueue::at(0x8009, 0x8009, config.features), start::<Packed>(&config, None));
    assert!(resume(impossible).is_err());
    assert_eq!(resume(start).unwrap(), start);
    assert_eq!(resume(impossible).unwrap(), start);
}

/// Returns what the record is when returned chains are about to be published.
fn publishing<F: Recorded, K: Recorder>(wrap: impl Fn(<RingOf<F> as Recordable>::Recorder<Arc<Shm>>) -> K) -> Vec<u8> {
    let mem = Memory::new();
    let config = config(&driver::<F>(&mem, 4, None));
    let (file, record) = create(1, 4);
    let ring = RingOf::<F>::from_config(&config, Rc::clone(&mem)).unwrap();
    let part = record.queue::<RingOf<F>>(0).unwrap();
    let mut recorder = wrap(ring.resume(&config, part, start::<F>(&config, None)).unwrap().0);
    recorder.fetched(Head::new(1, if F::PACKED { 0x8000 } else { 0 }, 1), [Descriptor::default()].into_iter());
    recorder.completed(Head::new(1, if F::PACKED { 0x8000 } else { 0 }, 1));
    recorder.publishing(if F::PACKED { 0x8001 } else { 1 });
    read(&file)
}

/// RECORD-1, RECORD-2, RECORD-3: the recorder of a queue in either format is the recorder of its format.
#[test]
fn recorder_of_either_format_records_the_same() {
    assert_eq!(lives::<Split, _>(|own| own), lives::<Split, _>(|own| AnyRecorder(Kind::Split(own))));
    assert_eq!(lives::<Packed, _>(|own| own), lives::<Packed, _>(|own| AnyRecorder(Kind::Packed(own))));
    assert_eq!(publishing::<Split, _>(|own| own), publishing::<Split, _>(|own| AnyRecorder(Kind::Split(own))));
    assert_eq!(publishing::<Packed, _>(|own| own), publishing::<Packed, _>(|own| AnyRecorder(Kind::Packed(own))));
}
