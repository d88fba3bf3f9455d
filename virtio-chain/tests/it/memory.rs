//! What the device does with memory: permissions, reports, and places that are at the edge of something.

use virtio_chain::{ReadableChain, Reader, Writer};
use virtio_fake_driver::MemEvent;
use virtio_mem_traits::{Access, DriverAddr, DriverMem, DriverRange};
use virtio_queue_core::{ChainError, ChainErrorKind, QueueLimits};

use super::rig::{Message, Rig};

/// The events of `log` in `elements`, but for the translations.
fn accesses(log: &[MemEvent], elements: &[DriverRange]) -> Vec<MemEvent> {
    let inside = |range: DriverRange| elements.iter().any(|element| element.offset_of(range.start()).is_some());
    let accesses = log.iter().filter(|event| match event {
        MemEvent::Read(range) | MemEvent::Written(range) => inside(*range),
        MemEvent::Translate { .. } => false,
    });
    accesses.copied().collect()
}

/// SPLIT-DESC-1, SPLIT-DESC-2: the memory of these tests would notice. All of them read and write in it.
#[test]
fn elements_are_translated_for_their_own_access_alone() {
    let mut rig = Rig::new();
    rig.add(&Message::new(&[b"in"], &[2]));
    let (readable, writable) = (rig.last_placed().readable[0], rig.last_placed().writable[0]);
    let mem = rig.mem.clone();
    assert!(mem.translate(readable, Access::Write).is_err() && mem.translate(writable, Access::Read).is_err());
    assert!(mem.translate(rig.driver.areas().descriptors(), Access::Write).is_err());
    mem.start_log();
    let mut chain = ReadableChain::new(rig.fetch());
    assert_eq!(chain.read_obj(), Ok(*b"in"));
    chain.into_writable().unwrap().write_all(b"ok").unwrap();
    for event in mem.take_log() {
        if let MemEvent::Translate { range, access } = event {
            assert!(range != readable || access == Access::Read);
            assert!(range != writable || access == Access::Write);
        }
    }
    rig.reap().check(2, &[(0, b"ok")]);
}

/// INV-6, INV-7: each byte is reported before it is read, and after it was written; others are not reported at all.
#[test]
fn reports_are_of_what_was_read_and_written() {
    let mut rig = Rig::new();
    rig.add(&Message::new(&[b"abcd", b"efgh"], &[4, 4]));
    let placed = rig.last_placed();
    let ([a, b], [c, d]) = ([placed.readable[0], placed.readable[1]], [placed.writable[0], placed.writable[1]]);
    let (elements, mem) = ([a, b, c, d], rig.mem.clone());
    mem.start_log();
    let check = |expected: &[MemEvent]| assert_eq!(accesses(&mem.take_log(), &elements), expected);

    let fetched = rig.fetch();
    let mut chain = Reader::new(&fetched);
    chain.remaining().unwrap();
    let tail = chain.split_at(7).unwrap();
    check(&[]);
    chain.read(&mut [0; 1]).unwrap();
    check(&[MemEvent::Read(a.prefix(1))]);
    chain.skip(1).unwrap();
    check(&[]);
    chain.read(&mut [0; 3]).unwrap();
    check(&[MemEvent::Read(a.after(2)), MemEvent::Read(b.prefix(1))]);
    chain.next_with_limit(1).unwrap();
    check(&[MemEvent::Read(b.after(1).prefix(1))]);
    // Not beyond the part.
    assert_eq!(chain.read(&mut [0; 8]), Ok(1));
    check(&[MemEvent::Read(b.after(2).prefix(1))]);
    assert_eq!(tail.remaining().unwrap().bytes, 1);

    let mut chain = Writer::new(&fetched);
    chain.write(b"xy").unwrap();
    check(&[MemEvent::Written(c.prefix(2))]);
    chain.skip(1).unwrap();
    check(&[]);
    chain.fill(2, 0).unwrap();
    check(&[MemEvent::Written(c.after(3)), MemEvent::Written(d.prefix(1))]);
    chain.next_with_limit(9, |_| Ok::<_, ()>(1)).unwrap();
    check(&[MemEvent::Written(d.after(1).prefix(1))]);
    chain.split_at(1).unwrap();
    drop(fetched);
    check(&[]);
}

/// HOST-20: a byte is fetched once, after the report: what it changes to later is not seen.
#[test]
fn bytes_that_change_are_read_once() {
    let mut rig = Rig::new();
    rig.add(&Message::new(&[b"1111", b"2222"], &[]));
    let [first, second] = [0, 1].map(|index| rig.last_placed().readable[index].start());
    let mem = rig.mem.clone();
    let mut chain = ReadableChain::new(rig.fetch());
    mem.on_event(move |mem, event| match event {
        MemEvent::Read(range) if range.start() == first => mem.view().poke(first, b"new!"),
        MemEvent::Read(range) if range.start() == second => mem.view().poke(first, b"late"),
        _ => {}
    });
    assert_eq!(chain.read_obj(), Ok(*b"new!2222"));
}

/// HOST-10: an element that ends where the memory does.
#[test]
fn element_at_the_end_of_a_region_is_accessed() {
    let mut rig = Rig::new();
    rig.add(&Message::new(&[b"end"], &[3]));
    for element in [rig.last_placed().readable[0], rig.last_placed().writable[0]] {
        let beyond = DriverRange::new(element.start().checked_add(3).unwrap(), 1).unwrap();
        rig.mem.unmap(beyond);
    }
    let mut chain = ReadableChain::new(rig.fetch());
    assert_eq!(chain.read_obj(), Ok(*b"end"));
    let mut chain = chain.into_writable().unwrap();
    assert_eq!(chain.write(b"fin."), Ok(3));
    chain.return_complete().unwrap();
    rig.reap().check(3, &[(0, b"fin")]);
}

/// HOST-32, FEAT-11: memory in which no two bytes are in one piece.
#[test]
fn elements_in_pieces_of_one_byte_are_accessed() {
    let mut rig = Rig::new();
    rig.add(&Message::new(&[b"header", b"payload"], &[5, 1]));
    for element in [&rig.last_placed().readable[..], &rig.last_placed().writable].concat() {
        (0..=element.len()).for_each(|offset| rig.mem.split_at(element.start().checked_add(offset).unwrap()));
    }
    let chain = rig.fetch();
    let mut header = Reader::new(&chain);
    let mut payload = header.split_at(6).unwrap();
    assert_eq!(header.read_obj(), Ok(*b"header"));
    assert_eq!(payload.remaining().unwrap().descriptors, 1);
    assert_eq!(payload.read_obj(), Ok(*b"payload"));
    let mut chain = ReadableChain::new(chain);
    chain.skip(13).unwrap();
    let mut chain = chain.into_writable().unwrap();
    chain.write_obj(b"answer").unwrap();
    chain.return_complete().unwrap();
    rig.reap().check(6, &[(0, b"answer")]);
}

/// HOST-16: the same memory both ways. What is read is what is there by then.
#[test]
fn readable_and_writable_elements_that_overlap_are_copied() {
    for offset in 0..8 {
        let mut rig = Rig::new();
        let shared = rig.driver.pool().alloc(24, 1).unwrap();
        rig.mem.restrict(shared, Access::ReadWrite);
        rig.add_at(&[(shared.prefix(16), Access::Read), (shared.after(offset).prefix(16), Access::Write)]);
        rig.mem.view().poke(shared.start(), b"abcdefghijklmnopqrstuvwx");
        let mut expected = *b"abcdefghijklmnopqrstuvwx";
        let (mem, start) = (rig.mem.clone(), offset as usize);

        let chain = rig.fetch();
        let (mut input, mut output) = (Reader::new(&chain), Writer::new(&chain));
        for index in 0..16 {
            expected[start + index] = expected[index];
            output.write_obj(&input.read_obj::<u8>().unwrap()).unwrap();
        }
        chain.return_written(16).unwrap();
        assert_eq!(mem.view().peek(shared.start(), 24), expected);
    }
}

/// HOST-15: elements on top of the queue's own descriptors: garbage, and an end.
#[test]
fn element_over_its_own_descriptors_is_survived() {
    let rig = || {
        let rig = Rig::with(8, 0, QueueLimits::default());
        let table = rig.driver.areas().descriptors();
        rig.mem.restrict(table, Access::ReadWrite);
        (rig, table)
    };
    let (mut reading, table) = rig();
    reading.add_at(&[(table, Access::Read), (table, Access::Read)]);
    let descriptors = reading.mem.view().peek(table.start(), 128);
    let mut chain = ReadableChain::new(reading.fetch());
    assert_eq!(chain.read_obj::<[[u8; 128]; 2]>().unwrap().concat(), descriptors.repeat(2));

    let garbage = [
        (0xff, ChainErrorKind::IndirectNotNegotiated),
        (0, ChainErrorKind::ReadableAfterWritable { addr: DriverAddr(0) }),
    ];
    for (value, kind) in garbage {
        let (mut writing, table) = rig();
        let id = writing.add_at(&[(table, Access::Write), (table, Access::Write)]);
        let chain = writing.fetch();
        let mut chain = Writer::new(&chain);
        assert_eq!(chain.fill(1000, value), Err(ChainError { id, kind }));
        assert_eq!(chain.prefix(), 128);
    }
}
