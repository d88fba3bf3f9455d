//! Fragments: pieces for system calls, without a copy.

use core::ffi::c_void;

use virtio_chain::{IoVec, ReadableChain, WritableChain};
use virtio_fake_driver::MemEvent;
use virtio_mem_traits::DeviceRange;

use super::rig::{Message, Rig};

/// An `iovec` as POSIX has it.
#[repr(C)]
struct PosixIoVec {
    base: *mut c_void,
    len: usize,
}

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

/// The layout is the one of POSIX: an array of them can be passed to `readv` and `writev` as it is.
#[test]
fn io_vec_is_posix_iovec() {
    assert_eq!(size_of::<IoVec<'_>>(), size_of::<PosixIoVec>());
    assert_eq!(align_of::<IoVec<'_>>(), align_of::<PosixIoVec>());
    assert_eq!(size_of::<[IoVec<'_>; 3]>(), 3 * size_of::<PosixIoVec>());
    assert!(IoVec::EMPTY.base().is_null());
    assert!(IoVec::EMPTY.is_empty());

    let answer = Rig::new().serve(&Message::new(&[b"abc", b"defg"], &[2, 5]), |chain| {
        let mut chain = ReadableChain::new(chain);
        let (mut vectors, mut ranges) = ([IoVec::EMPTY; 4], [DeviceRange::empty(); 4]);
        let count = chain.fragments(6, &mut vectors).unwrap();
        assert_eq!(chain.fragments(6, &mut ranges), Ok(count));
        for (vector, range) in vectors[..count].iter().zip(&ranges) {
            assert_eq!(vector.base(), range.as_ptr().as_ptr().cast());
            assert_eq!(vector.len(), range.len());
            assert!(!vector.is_empty());
            let raw: *const PosixIoVec = core::ptr::from_ref(vector).cast();
            // SAFETY: an `IoVec` is `repr(C)`, and has as many bytes and the alignment, as asserted above.
            let posix = unsafe { &*raw };
            assert_eq!((posix.base, posix.len), (vector.base(), vector.len()));
        }
        assert_eq!(chain.advance(7), Ok(7));
        let mut chain = chain.into_writable().unwrap();
        assert_eq!(chain.fragments(6, &mut vectors), Ok(2));
        assert_eq!(vectors[..2].iter().map(IoVec::len).collect::<Vec<_>>(), [2, 4]);
        read_vectored(b"system", &vectors[..2]);
        assert_eq!(chain.advance(6), Ok(6));
        chain.write_all(b"!").unwrap();
    });
    answer.check(7, &[(0, b"system!")]);
}

/// Does what `readv` would: copies from `file` to where the vectors point.
fn read_vectored(file: &[u8], vectors: &[IoVec<'_>]) {
    let mut file = file;
    for vector in vectors {
        let (part, rest) = file.split_at(vector.len());
        // SAFETY: nobody else accesses the memory during the call, and the vector is a piece of it that is writable.
        unsafe { vector.base().cast::<u8>().copy_from_nonoverlapping(part.as_ptr(), part.len()) };
        file = rest;
    }
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
