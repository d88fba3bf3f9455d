//! Fragments: pieces for system calls, without a copy.

use virtio_chain::{IoVec, ReadableChain, WritableChain};
use virtio_fake_driver::MemEvent;
use virtio_mem_traits::DeviceRange;

use super::rig::{Message, Rig};

/// FRAME-1: pieces in their order, the last of them cut at the limit; `advance` goes past what was used.
#[test]
fn fragments_cover_what_lies_ahead_up_to_the_limit() {
    let message = Message::new(&[b"abc", b"", b"defgh", b"ij"], &[]);
    for (limit, expected) in
        [(0, &[][..]), (1, &[1]), (3, &[3]), (4, &[3, 1]), (9, &[3, 5, 1]), (10, &[3, 5, 2]), (u64::MAX, &[3, 5, 2])]
    {
        Rig::new().serve(&message, |chain| {
            let chain = ReadableChain::new(chain);
            let mut storage = [DeviceRange::empty(); 8];
            let count = chain.fragments(limit, &mut storage).unwrap();
            let lens: Vec<usize> = storage[..count].iter().map(|piece| piece.len()).collect();
            assert_eq!(lens, expected, "limit {limit}");
        });
    }
}

#[test]
fn fragments_stop_where_the_storage_is_full() {
    Rig::new().serve(&Message::new(&[b"abc", b"defgh", b"ij"], &[]), |chain| {
        let mut chain = ReadableChain::new(chain);
        let mut storage = [IoVec::EMPTY; 2];
        assert_eq!(chain.fragments(u64::MAX, &mut storage[..0]), Ok(0));
        assert_eq!(chain.fragments(u64::MAX, &mut storage), Ok(2));
        assert_eq!(storage.map(|piece| piece.len()), [3, 5]);
        // Half of what was offered was used.
        assert_eq!(chain.advance(4), Ok(4));
        assert_eq!(chain.fragments(u64::MAX, &mut storage), Ok(2));
        assert_eq!(storage.map(|piece| piece.len()), [4, 2]);
    });
}

/// FEAT-11, HOST-32: each fragment is one piece of memory.
#[test]
fn fragments_of_elements_in_pieces_are_pieces() {
    let mut rig = Rig::new();
    rig.add(&Message::new(&[b"abcdef"], &[]));
    let start = rig.last_placed().readable[0];
    rig.mem.split_at(start.after(1).start());
    rig.mem.split_at(start.after(4).start());
    let mut chain = ReadableChain::new(rig.fetch());
    let mut storage = [IoVec::EMPTY; 8];
    assert_eq!(chain.fragments(u64::MAX, &mut storage), Ok(3));
    assert_eq!(storage.map(|piece| piece.len()), [1, 3, 2, 0, 0, 0, 0, 0]);
    assert_eq!(chain.advance(2), Ok(2));
    assert_eq!(chain.fragments(3, &mut storage), Ok(2));
    assert_eq!(storage.map(|piece| piece.len()), [2, 1, 2, 0, 0, 0, 0, 0]);
}

/// The same fragments, whichever of the two forms they are taken in.
#[test]
fn io_vecs_are_device_ranges() {
    assert!(IoVec::EMPTY.base().is_null() && IoVec::EMPTY.is_empty());
    let answer = Rig::new().serve(&Message::new(&[b"abc", b"defg"], &[2, 5]), |chain| {
        let mut chain = ReadableChain::new(chain);
        let (mut vectors, mut ranges) = ([IoVec::EMPTY; 4], [DeviceRange::empty(); 4]);
        let count = chain.fragments(6, &mut vectors).unwrap();
        assert_eq!(chain.fragments(6, &mut ranges), Ok(count));
        check_same(&vectors[..count], &ranges[..count], &[3, 3]);
        assert_eq!(chain.advance(7), Ok(7));

        let mut chain = chain.into_writable().unwrap();
        let count = chain.fragments(6, &mut vectors).unwrap();
        assert_eq!(chain.fragments(6, &mut ranges), Ok(count));
        check_same(&vectors[..count], &ranges[..count], &[2, 4]);
        ranges[0].write_bytes(0, b"sy").unwrap();
        ranges[1].write_bytes(0, b"stem").unwrap();
        assert_eq!(chain.advance(6), Ok(6));
        chain.write_all(b"!").unwrap();
    });
    answer.check(7, &[(0, b"system!")]);
}

#[track_caller]
fn check_same(vectors: &[IoVec<'_>], ranges: &[DeviceRange<'_>], lens: &[usize]) {
    let pieces = |vector: &IoVec<'_>| (vector.base(), vector.len(), vector.is_empty());
    let expected = ranges.iter().map(|range| (range.as_ptr().as_ptr().cast(), range.len(), false));
    assert!(vectors.iter().map(pieces).eq(expected), "{vectors:?} is not {ranges:?}");
    assert!(vectors.iter().map(IoVec::len).eq(lens.iter().copied()), "{vectors:?}");
}

/// The layout is the one of POSIX, an address and then a length: an array of them can be passed to `readv` and `writev` as it
/// is. What such a call would find is read as it would, by the kernel.
#[cfg(target_os = "linux")]
#[test]
fn io_vecs_are_posix_iovecs_to_the_kernel() {
    use std::os::unix::fs::FileExt;

    assert_eq!(align_of::<IoVec<'_>>(), align_of::<usize>());
    Rig::new().serve(&Message::new(&[b"abc", b"", b"defg"], &[]), |chain| {
        let mut vectors = [IoVec::EMPTY; 3];
        assert_eq!(ReadableChain::new(chain).fragments(6, &mut vectors), Ok(2));
        let mut found = [0; 3 * size_of::<[usize; 2]>()];
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        memory.read_exact_at(&mut found, vectors.as_ptr().expose_provenance() as u64).unwrap();
        let words = vectors.map(|vector| [vector.base().addr(), vector.len()]);
        assert_eq!(found[..], words.as_flattened().iter().copied().flat_map(usize::to_ne_bytes).collect::<Vec<_>>());
        assert_eq!(size_of_val(&found), size_of_val(&vectors));
    });
}

/// What was put into the storage will be read; what did not fit, and what is written, will not.
#[test]
fn fragments_report_reads_of_what_they_hand_out() {
    let mut rig = Rig::new();
    rig.add(&Message::new(&[b"abc", b"defgh", b"ij"], &[4]));
    let mem = rig.mem.clone();
    mem.start_log();
    let chain = ReadableChain::new(rig.fetch());
    let mut storage = [IoVec::EMPTY; 2];
    assert_eq!(chain.fragments(7, &mut storage), Ok(2));
    let chain = WritableChain::from_incomplete_readable(chain);
    assert_eq!(chain.fragments(4, &mut storage), Ok(1));
    drop(chain);
    let log: Vec<MemEvent> = mem.take_log();
    assert_eq!(rig.last_placed().reads(&log), [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]);
    assert_eq!(rig.last_placed().writes(&log), [0; 4]);
    rig.reap().check(0, &[]);
}
