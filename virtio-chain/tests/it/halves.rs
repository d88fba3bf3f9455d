//! From the readable half of a chain to the writable one, and completeness of both.

use virtio_chain::{IncompleteError, ReadableChain, Reader, Remaining, WritableChain, Writer};

use super::rig::{Message, Readable, Rig, refused};

/// Lets `device` have a chain with 7 readable and 6 writable bytes, and checks what the driver is told and gets.
#[track_caller]
fn check(len: u32, runs: &[(usize, &[u8])], device: impl FnOnce(Readable<'_>)) {
    let message = Message::new(&[b"abc", b"", b"defg"], &[2, 0, 4]);
    Rig::new().serve(&message, |chain| device(ReadableChain::new(chain))).check(len, runs);
}

const fn unread(bytes: u64, descriptors: u32) -> IncompleteError {
    IncompleteError::Unread(Remaining { bytes, descriptors })
}

const fn unwritten(bytes: u64, descriptors: u32) -> IncompleteError {
    IncompleteError::Unwritten(Remaining { bytes, descriptors })
}

#[test]
fn from_readable_with_bytes_unread_refused_until_they_are_read() {
    check(6, &[(0, b"answer")], |mut chain| {
        let steps = [(0, unread(7, 2)), (2, unread(5, 2)), (1, unread(4, 1)), (3, unread(1, 1))];
        for (len, expected) in steps {
            assert_eq!(chain.read(&mut vec![0; len]), Ok(len));
            chain = refused(chain.try_into_writable(), expected);
        }
        // The chain comes back as it was.
        assert_eq!(chain.read_obj(), Ok(*b"g"));
        let mut chain = WritableChain::from_readable(chain).unwrap();
        chain.write_all(b"answer").unwrap();
        chain.return_complete().unwrap();
    });
    assert_eq!(unread(7, 2).to_string(), "not read: 7 bytes in 2 elements; read or skip all readable bytes first");
}

/// SPLIT-DESC-1: from wherever the reader is, writing begins with the first writable byte.
#[test]
fn from_incomplete_readable_skips_what_is_unread() {
    for read in 0..=7 {
        check(6, &[(0, b"answer")], |mut chain| {
            chain.skip(read).unwrap();
            let mut chain = WritableChain::from_incomplete_readable(chain);
            assert_eq!(chain.remaining(), Ok(Remaining { bytes: 6, descriptors: 2 }));
            chain.write_all(b"answer").unwrap();
        });
    }
    // The same, where the reader has come upon the end of its half, or looked beyond it.
    check(6, &[(0, b"answer")], |mut chain| {
        assert_eq!(chain.read(&mut [0; 100]), Ok(7));
        assert_eq!(chain.remaining(), Ok(Remaining::default()));
        let mut chain = WritableChain::from_incomplete_readable(chain);
        chain.write_all(b"answer").unwrap();
    });
}

#[test]
fn return_complete_of_readable_says_what_is_left() {
    check(0, &[], |mut chain| {
        chain = refused(chain.try_return_complete(), unread(7, 2));
        assert_eq!(chain.read_obj(), Ok(*b"abcdefg"));
        // Who does not want the chain back, drops it with the error.
        assert!(chain.return_complete().is_err());
    });
}

#[test]
fn return_complete_of_readable_without_room_to_write_accepted() {
    for writable in [&[][..], &[0], &[0, 0]] {
        let answer = Rig::new().serve(&Message::new(&[b"all"], writable), |chain| {
            let mut chain = ReadableChain::new(chain);
            assert_eq!(chain.read_obj(), Ok(*b"all"));
            chain.return_complete().unwrap();
        });
        answer.check(0, &[]);
    }
}

#[test]
fn return_complete_of_writable_says_what_is_left() {
    check(6, &[(0, b"answer")], |chain| {
        let mut chain = WritableChain::from_incomplete_readable(chain);
        let steps: [(&[u8], _); 4] =
            [(b"", unwritten(6, 2)), (b"a", unwritten(5, 2)), (b"n", unwritten(4, 1)), (b"swe", unwritten(1, 1))];
        for (bytes, expected) in steps {
            chain.write_all(bytes).unwrap();
            chain = refused(chain.try_return_complete(), expected);
        }
        chain.write_all(b"r").unwrap();
        chain.return_complete().unwrap();
    });
    assert_eq!(unwritten(5, 1).to_string(), "not written: 5 bytes in 1 element; write all writable bytes first");
}

/// SPLIT-USED-4: a hole is not complete, wherever the writer is. What was written behind it is.
#[test]
fn return_complete_with_a_hole_refused() {
    check(1, &[(0, b"a"), (3, b"wer")], |chain| {
        let mut chain = WritableChain::from_incomplete_readable(chain);
        chain.write_all(b"a").unwrap();
        chain.skip(2).unwrap();
        chain.write_all(b"w").unwrap();
        chain = refused(chain.try_return_complete(), unwritten(4, 1));
        chain.write_all(b"er").unwrap();
        assert_eq!(chain.return_complete().unwrap_err(), unwritten(2, 0));
    });
}

/// Both halves at a time, of a chain that is borrowed, in whatever state they are when it is returned.
#[test]
fn reader_and_writer_of_one_chain_go_on_at_a_time() {
    let answer = Rig::new().serve(&Message::new(&[b"abc", b"", b"defg"], &[2, 0, 4]), |chain| {
        let (mut input, mut output) = (Reader::new(&chain), Writer::new(&chain));
        for _ in 0..5 {
            let byte: u8 = input.read_obj().unwrap();
            output.write_obj(&byte.to_ascii_uppercase()).unwrap();
        }
        assert_eq!(input.remaining(), Ok(Remaining { bytes: 2, descriptors: 1 }));
        let written = output.prefix();
        chain.return_written(written).unwrap();
    });
    answer.check(5, &[(0, b"ABCDE")]);
}

/// HOST-11: an answer can be given to a request that cannot be read.
#[test]
fn fault_in_one_half_does_not_concern_the_other() {
    let mut rig = Rig::new();
    rig.add(&Message::new(&[b"abc"], &[2, 4]));
    let (hole, other_hole) = (rig.last_placed().readable[0].after(1), rig.last_placed().writable[0]);
    rig.mem.unmap(hole);
    rig.mem.unmap(other_hole);
    let chain = rig.fetch();
    let (mut input, mut output) = (Reader::new(&chain), Writer::new(&chain));
    assert!(input.read(&mut [0; 3]).is_err());
    // Even where the memory before the status is not there.
    let mut status = output.split_last(1).unwrap();
    assert!(output.write(b"answer").is_err());
    status.write_obj(&1_u8).unwrap();
    output.join(status).unwrap();
    assert_eq!((output.prefix(), output.written()), (0, 1));
    drop(chain);
    rig.reap().check(0, &[(5, &[1])]);
}

/// SPLIT-USED-6, FRAME-4, HOST-14: chains that are all readable, all writable, or without bytes.
#[test]
fn chain_without_one_half_or_both_is_complete() {
    let messages = [
        Message::new(&[b""], &[]),
        Message::new(&[b"", b""], &[0, 0]),
        Message::new(&[], &[0]),
        Message { direct: Some(0), ..Message::new(&[b""], &[0]) },
    ];
    for message in &messages {
        let answer = Rig::new().serve(message, |chain| {
            let mut chain = ReadableChain::new(chain);
            assert_eq!(chain.remaining(), Ok(Remaining::default()));
            assert_eq!(chain.read(&mut [0; 4]), Ok(0));
            assert!(chain.next_with_limit(1).unwrap().is_none());
            let mut chain = chain.into_writable().unwrap();
            assert_eq!(chain.remaining(), Ok(Remaining::default()));
            assert_eq!(chain.write(b"none"), Ok(0));
            assert_eq!(chain.fill(1, 0), Ok(0));
            chain.return_complete().unwrap();
        });
        answer.check(0, &[]);
        Rig::new().serve(message, |chain| ReadableChain::new(chain).return_complete().unwrap()).check(0, &[]);
    }
    let answer = Rig::new().serve(&Message::new(&[], &[3]), |chain| {
        let mut chain = ReadableChain::new(chain).into_writable().unwrap();
        chain.write_all(b"yes").unwrap();
        chain.return_complete().unwrap();
    });
    answer.check(3, &[(0, b"yes")]);
}
