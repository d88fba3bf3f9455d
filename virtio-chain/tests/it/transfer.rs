//! Pieces that are handed to work like `readv` and `writev`, and what is accounted for.

use virtio_chain::{IoVec, ReadableChain, TransferCause, TransferFailed, WritableChain};
use virtio_fake_driver::{MemEvent, features};
use virtio_mem_traits::{DriverAddr, DriverRange};
use virtio_queue_core::QueueLimits;

use super::bad::set_element;
use super::rig::{Message, Rig, gather, scatter};

/// What a call of the work is handed: the lengths of the pieces.
fn lens(pieces: &[IoVec]) -> Vec<usize> {
    pieces.iter().map(IoVec::len).collect()
}

/// A call gets all pieces of a chain, up to 256: a request of 1 MiB in pages is one system call.
#[test]
fn transfer_of_a_chain_is_one_call() {
    for count in [1, 4, 5, 32, 33, 255, 256] {
        let parts = vec![&b"ab"[..]; count];
        Rig::new().serve(&Message::new(&parts, &[]), |chain| {
            let mut calls = Vec::new();
            let moved = ReadableChain::new(chain).transfer(2 * count as u64, |pieces| {
                calls.push(pieces.len());
                Ok::<_, ()>(lens(pieces).iter().sum())
            });
            assert_eq!((moved, calls), (Ok(2 * count as u64), vec![count]));
        });
    }
}

/// FRAME-1: pieces in their order, the last of them cut at the limit.
#[test]
fn transfer_hands_out_what_lies_ahead_up_to_the_limit() {
    let message = Message::new(&[b"abc", b"", b"defgh", b"ij"], &[]);
    for (limit, expected) in
        [(0, &[][..]), (1, &[1]), (3, &[3]), (4, &[3, 1]), (9, &[3, 5, 1]), (10, &[3, 5, 2]), (u64::MAX, &[3, 5, 2])]
    {
        Rig::new().serve(&message, |chain| {
            let (mut chain, mut calls) = (ReadableChain::new(chain), Vec::new());
            let moved = chain.transfer(limit, |pieces| {
                calls.push(lens(pieces));
                Ok::<_, ()>(lens(pieces).iter().sum())
            });
            let total = expected.iter().sum::<usize>() as u64;
            assert_eq!((moved, chain.position()), (Ok(total), total), "limit {limit}");
            assert_eq!(calls.concat(), expected, "limit {limit}");
        });
    }
}

/// Long chains are handed out 256 pieces at a time, until the work moves less than it could.
#[test]
fn transfer_of_many_pieces_calls_the_work_again() {
    let parts = vec![&b"ab"[..]; 600];
    let message = Message::new(&parts, &[]);
    // How many bytes the work takes in all, and the calls that come of it.
    let cases: [(usize, &[usize], u64); 6] = [
        (1200, &[256, 256, 88], 1200),
        (9999, &[256, 256, 88], 1200),
        (1024, &[256, 256, 88], 1024),
        (1023, &[256, 256], 1023),
        (511, &[256], 511),
        (0, &[256], 0),
    ];
    for (takes, expected, total) in cases {
        Rig::with(1024, features::INDIRECT_DESC, QueueLimits::default()).serve(&message, |chain| {
            let (mut chain, mut calls, mut left) = (ReadableChain::new(chain), Vec::new(), takes);
            let moved = chain.transfer(u64::MAX, |pieces| {
                calls.push(pieces.len());
                let count = lens(pieces).iter().sum::<usize>().min(left);
                left -= count;
                Ok::<_, ()>(count)
            });
            assert_eq!((moved, chain.position()), (Ok(total), total), "{takes} bytes");
            assert_eq!(calls, expected, "{takes} bytes");
            assert_eq!(chain.remaining().unwrap().bytes, 1200 - total, "{takes} bytes");
        });
    }
}

/// SPLIT-USED-2: wherever the work stops, the rest is written behind it.
#[test]
fn transfer_that_stops_short_counts_what_was_written() {
    for count in 0..=12 {
        let answer = Rig::new().serve(&Message::new(&[], &[3, 0, 5, 4]), |chain| {
            let mem = std::rc::Rc::clone(chain.mem());
            let mut chain = WritableChain::new(chain);
            let work = |pieces: &[IoVec]| Ok::<_, ()>(scatter(&mem, pieces, b"abcdefghijkl".split_at(count).0));
            assert_eq!(chain.transfer(u64::MAX, work), Ok(count as u64));
            assert_eq!((chain.prefix(), chain.written()), (count as u32, count as u64));
            chain.write_all(b"ABCDEFGHIJKL".split_at(count).1).unwrap();
            chain.return_complete().unwrap();
        });
        let expected = [b"abcdefghijkl".split_at(count).0, b"ABCDEFGHIJKL".split_at(count).1].concat();
        answer.check(12, &[(0, &expected)]);
    }
}

/// FEAT-11, HOST-32: each piece is one of memory.
#[test]
fn transfer_of_elements_in_pieces_hands_out_pieces() {
    let mut rig = Rig::new();
    rig.add(&Message::new(&[b"abcdef"], &[]));
    let (start, mem) = (rig.last_placed().readable[0], rig.mem.clone());
    mem.split_at(start.after(1).start());
    mem.split_at(start.after(4).start());
    let mut chain = ReadableChain::new(rig.fetch());
    let mut bytes = Vec::new();
    let moved = chain.transfer(u64::MAX, |pieces| {
        assert_eq!(lens(pieces), [1, 3, 2]);
        bytes = gather(&mem, pieces, 2);
        Ok::<_, ()>(2)
    });
    assert_eq!((moved, &bytes[..]), (Ok(2), &b"ab"[..]));
    let moved = chain.transfer(3, |pieces| {
        assert_eq!(lens(pieces), [2, 1]);
        bytes = gather(&mem, pieces, 3);
        Ok::<_, ()>(3)
    });
    assert_eq!((moved, &bytes[..]), (Ok(3), &b"cde"[..]));
    assert_eq!(chain.read_obj(), Ok(*b"f"));
}

/// Work that is interrupted says so, what it had moved is not lost, and it can go on.
#[test]
fn transfer_interrupted_goes_on_where_it_was() {
    let room = vec![1; 260];
    let expected: Vec<u8> = (0..=255).chain(0..4).collect();
    let answer =
        Rig::with(512, features::INDIRECT_DESC, QueueLimits::default()).serve(&Message::new(&[], &room), |chain| {
            let mem = std::rc::Rc::clone(chain.mem());
            let (mut chain, mut rest, mut calls) = (WritableChain::new(chain), &expected[..], 0);
            let mut results = Vec::new();
            while chain.remaining().unwrap().bytes > 0 {
                results.push(chain.transfer(u64::MAX, |pieces| {
                    calls += 1;
                    if calls % 2 == 0 {
                        return Err("interrupted");
                    }
                    let count = scatter(&mem, pieces, rest);
                    rest = &rest[count..];
                    Ok(count)
                }));
            }
            let interrupted = Err(TransferFailed { moved: 256, cause: TransferCause::Work("interrupted") });
            assert_eq!(results, [interrupted, Ok(4)]);
            chain.return_complete().unwrap();
        });
    answer.check(260, &[(0, &expected)]);
}

/// SPLIT-USED-4, SPLIT-USED-10: work that claims more than it was handed is refused, and nothing of it counts.
#[test]
fn transfer_that_claims_too_much_refused() {
    let answer = Rig::new().serve(&Message::new(&[b"in"], &[3, 5]), |chain| {
        let mut chain = ReadableChain::new(chain);
        let too_much =
            |claimed, lent| Err(TransferFailed { moved: 0, cause: TransferCause::TooMuch { claimed, lent } });
        assert_eq!(chain.transfer(9, |_| Ok::<_, ()>(3)), too_much(3, 2));
        assert_eq!(chain.position(), 0);
        let mut chain = WritableChain::from_incomplete_readable(chain);
        for claimed in [5, 8, usize::MAX] {
            assert_eq!(chain.transfer(4, |_| Ok::<_, ()>(claimed)), too_much(claimed, 4));
            assert_eq!((chain.prefix(), chain.written(), chain.position()), (0, 0, 0));
        }
    });
    answer.check(0, &[]);
    let failed = TransferFailed { moved: 64, cause: TransferCause::<&str>::TooMuch { claimed: 9, lent: 8 } };
    assert_eq!(
        failed.to_string(),
        "9 bytes were claimed, but 8 were passed on: claim at most 8, after 64 bytes were moved"
    );
}

/// INV-6, INV-7: just what is handed out is reported before it is read, and just what was written after that.
#[test]
fn transfer_reports_what_was_handed_out_and_what_was_written() {
    let mut rig = Rig::new();
    rig.add(&Message::new(&[b"abc", b"defgh", b"ij"], &[2, 3, 4]));
    let mem = rig.mem.clone();
    mem.start_log();
    let mut chain = ReadableChain::new(rig.fetch());
    chain.transfer(7, |_| Ok::<_, ()>(4)).unwrap();
    let mut chain = WritableChain::from_incomplete_readable(chain);
    chain.transfer(8, |_| Ok::<_, ()>(4)).unwrap();
    assert_eq!(chain.transfer(8, |_| Err("disk")).unwrap_err().moved, 0);
    drop(chain);
    let log: Vec<MemEvent> = mem.take_log();
    assert_eq!(rig.last_placed().reads(&log), [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]);
    assert_eq!(rig.last_placed().writes(&log), [1, 1, 1, 1, 0, 0, 0, 0, 0]);
    rig.reap().check(4, &[]);
}

/// INV-7, HOST-20: a driver that names other memory while the work is under way changes nothing of what is reported: it
/// is what was handed out and written.
#[test]
fn transfer_of_elements_that_change_reports_what_was_written() {
    // Whole, so that nothing is walked twice, and short.
    for count in [8_usize, 6, 3, 1] {
        let mut rig = Rig::new();
        let id = rig.add(&Message::new(&[], &[4, 4, 1]));
        let (mem, raw, writable) = (rig.mem.clone(), rig.driver.raw().clone(), rig.last_placed().writable.clone());
        mem.start_log();
        let mut chain = WritableChain::new(rig.fetch());
        let moved = chain.transfer(8, |pieces| {
            for index in 0..2 {
                set_element(&raw, id, index, DriverAddr(0xdead_0000_0000), 4);
            }
            Ok::<_, ()>(scatter(&mem, pieces, b"abcdefgh".split_at(count).0))
        });
        assert_eq!((moved, chain.prefix()), (Ok(count as u64), count as u32));
        let written = written(&mem.take_log());
        drop(chain);
        let expected = [writable[0].prefix(count as u64), writable[1].prefix((count as u64).saturating_sub(4))];
        assert_eq!(
            written,
            expected.into_iter().filter(|range| !range.is_empty()).collect::<Vec<_>>(),
            "{count} bytes"
        );
        rig.reap().check(count as u32, &[(0, b"abcdefgh".split_at(count).0)]);
    }
}

/// HOST-20: a chain that becomes shorter or malformed while the work is under way ends there, behind what was moved.
#[test]
fn transfer_of_a_chain_that_shrinks_ends_behind_what_was_moved() {
    for len in [0, 1, u32::MAX] {
        let mut rig = Rig::new();
        let id = rig.add(&Message::new(&[], &[4, 4]));
        let (mem, raw) = (rig.mem.clone(), rig.driver.raw().clone());
        let mut chain = WritableChain::new(rig.fetch());
        let moved = chain.transfer(u64::MAX, |pieces| {
            set_element(&raw, id, 0, DriverAddr(u64::MAX - 3), len);
            set_element(&raw, id, 1, DriverAddr(u64::MAX - 3), len);
            Ok::<_, ()>(scatter(&mem, pieces, b"abcdef"))
        });
        assert_eq!((moved, chain.position(), chain.prefix()), (Ok(6), 6, 6));
        // The next step is told, or finds the end.
        let next = chain.write(b"gh");
        assert!(if len == u32::MAX { next.is_err() } else { next == Ok(0) }, "{next:?}");
        assert_eq!(chain.write(b"gh"), Ok(0));
        assert!(chain.return_written(7).is_err());
        rig.reap().check(6, &[(0, b"abcdef")]);
    }
}

/// Returns what was reported as written.
fn written(log: &[MemEvent]) -> Vec<DriverRange> {
    log.iter().filter_map(|event| if let MemEvent::Written(range) = event { Some(*range) } else { None }).collect()
}

/// The layout is the one of POSIX, an address and then a length: an array of them can be passed to `readv` and `writev`
/// as it is. What such a call would find is read as it would, by the kernel.
#[cfg(target_os = "linux")]
#[test]
fn pieces_are_posix_iovecs_to_the_kernel() {
    use std::os::unix::fs::FileExt;

    assert_eq!(align_of::<IoVec>(), align_of::<usize>());
    Rig::new().serve(&Message::new(&[b"abc", b"", b"defg"], &[]), |chain| {
        let moved = ReadableChain::new(chain).transfer(6, |pieces| {
            let mut found = [0; 2 * size_of::<[usize; 2]>()];
            let memory = std::fs::File::open("/proc/self/mem")?;
            memory.read_exact_at(&mut found, pieces.as_ptr().expose_provenance() as u64)?;
            let words: Vec<usize> = pieces.iter().flat_map(|piece| [piece.base().addr(), piece.len()]).collect();
            assert_eq!(found[..], words.into_iter().flat_map(usize::to_ne_bytes).collect::<Vec<_>>());
            assert_eq!(size_of_val(&found), size_of_val(pieces));
            Ok::<_, std::io::Error>(6)
        });
        assert_eq!(moved.unwrap(), 6);
    });
}
