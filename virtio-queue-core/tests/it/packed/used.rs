//! Used descriptors, byte by byte: what is written, in which order, and what is not.

use std::rc::Rc;

use virtio_fake_driver::packed::Descriptor;
use virtio_fake_driver::{DriverChain, MemEvent, PackedFixtureOptions, TestMem};
use virtio_mem_traits::{Access, DriverAddr, DriverRange};
use virtio_queue_core::{ReturnError, Token};

use crate::support::packed::{BOTH, Fixture, available, options, start, used};
use crate::support::{
    EVENT_IDX, INDIRECT, SPACE, fetch, logged, packed, range, readable, serve, writable, write_hello,
};

/// PACK-USED-4, PACK-USED-5, PACK-USED-6, PACK-USED-7, PACK-WRAP-3, END-1, AMB-10: the bytes, little-endian on every
/// host, in either lap: the length, the id and the flags over what was there; the address stays.
#[test]
fn used_descriptor_bytes_are_these() {
    let (mut fixture, mut hand) = start(2, 0);
    let flags = [[0x82, 0x80], [0x80, 0x80], [0x02, 0], [0, 0]];
    for (lap, [written, dropped]) in [(0, [flags[0], flags[1]]), (1, [flags[2], flags[3]]), (2, [flags[0], flags[1]])] {
        hand.offer(0x1234, &[writable(0x1122_3344_5566_7788, 0x9999_9999)]);
        hand.offer(0xfffe, &[writable(0x1122_3344_5566_7788, 0x9999_9999)]);
        fixture.queue.next_chain().unwrap().unwrap().return_written(0x0102_0304).unwrap();
        drop(fixture.queue.next_chain().unwrap().unwrap());
        let addr = [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11];
        let expected = [&addr[..], &[4, 3, 2, 1, 0x34, 0x12], &written, &addr, &[0, 0, 0, 0, 0xfe, 0xff], &dropped];
        let found = hand.raw.view().peek(hand.raw.areas().descriptor_area, 32);
        assert_eq!(found, expected.concat(), "lap {lap}");
    }
}

/// PACK-USED-4, PACK-USED-7, PACK-WRAP-3: whatever flags the driver has left in the slot, a used one has no others than
/// these.
#[test]
fn flags_of_driver_do_not_stay() {
    let (mut fixture, hand) = start(300, 0);
    for (position, flags) in (0..).zip(0..=u16::MAX) {
        let (slot, wrap) = hand.place(position);
        // NEXT would make a longer list of it.
        let own = flags & !(Descriptor::NEXT | BOTH) | available(wrap);
        hand.raw.set_descriptor(slot, Descriptor { flags: own, ..writable(1, 9) });
        let token = fetch(&mut fixture.queue);
        fixture.queue.complete(token, u32::from(flags % 3)).unwrap();
        let write = if flags % 3 == 0 { 0 } else { Descriptor::WRITE };
        assert_eq!(hand.raw.descriptor(slot).flags, used(wrap) | write, "{own:#x}");
    }
}

/// BAR-8, BAR-9, PACK-DESC-4, PACK-DESC-1, BAR-7, BAR-10, GEN-7: first the buffer, then length, id and flags in one
/// access, then nothing but one look at what the driver waits for.
#[test]
fn buffer_written_before_used_descriptor() {
    for features in [0, EVENT_IDX] {
        let (mut fixture, mut hand) = start(4, features);
        for position in 0..12 {
            hand.offer(9, &[writable(SPACE, 8)]);
            let ((), log) = logged(&fixture.mem, || write_hello(&mut fixture.queue));
            let (areas, (slot, _)) = (*hand.raw.areas(), hand.place(position));
            let written = [range(SPACE, 5), areas.used(slot)].map(MemEvent::Written);
            let events = MemEvent::Read(areas.driver_events());
            assert_eq!(log[log.len() - 2..], [written[1], events]);
            let writes = log.into_iter().filter(|event| matches!(event, MemEvent::Written(_)));
            assert!(writes.eq(written));
        }
    }
}

/// PACK-WRAP-9, GEN-8: used descriptors are written in the order in which chains are returned, at the next used
/// position, and not where a chain was.
#[test]
fn used_descriptors_written_in_order_of_completion() {
    for start_at in 0..14 {
        let (mut fixture, mut hand) = start(7, 0);
        for _ in 0..start_at {
            hand.offer(0, &[readable(1, 1)]);
            drop(fixture.queue.next_chain().unwrap().unwrap());
        }
        let lists = [3, 1, 2_u32];
        for (id, len) in (0..).zip(lists) {
            hand.offer(id, &vec![readable(1, 1); len as usize]);
        }
        let mut tokens: Vec<_> = lists.map(|_| Some(fetch(&mut fixture.queue))).into();
        let mut position = start_at;
        for id in [2, 0, 1] {
            fixture.queue.complete(tokens[id].take().unwrap(), 0).unwrap();
            hand.check_used(position, id as u16, 0);
            position += lists[id];
        }
        assert_eq!(position, hand.next);
    }
}

/// PACK-MB-1, PACK-MB-2, PACK-WRAP-10, BAR-9, USER-1: whatever is returned in a burst becomes visible at once: each
/// used descriptor is written once and as a whole, the first after all the others, and before that the driver, who
/// looks there first, finds what it wrote there itself. Then there is one look at what it waits for.
#[test]
fn burst_writes_first_used_descriptor_last() {
    for lens in [&[1_u16][..], &[1, 1], &[2, 1, 3], &[1, 1, 1, 1, 1, 1, 1], &[7], &[3, 4]] {
        for start_at in 0..14 {
            let (mut fixture, mut hand) = start(7, EVENT_IDX);
            for _ in 0..start_at {
                hand.offer(0, &[readable(1, 1)]);
                drop(fixture.queue.next_chain().unwrap().unwrap());
            }
            fixture.notifications.take();
            hand.wait_for(2, packed::off_wrap(7, start_at));
            let mut positions = Vec::new();
            for (id, len) in (0..).zip(lens) {
                positions.push(hand.offer(id, &vec![writable(1, 1); usize::from(*len)]));
            }
            let (first, _) = hand.place(start_at);
            let offered = hand.raw.descriptor(first);
            fixture.mem.start_log();
            let mut burst = fixture.queue.burst();
            for position in &positions {
                burst.next_chain().unwrap().unwrap().return_written(1).unwrap();
                assert_eq!(hand.raw.descriptor(first), offered, "after {position} of {lens:?}");
            }
            let writes = |log: Vec<MemEvent>| -> Vec<MemEvent> {
                log.into_iter().filter(|event| !matches!(event, MemEvent::Read(_))).collect()
            };
            let areas = *hand.raw.areas();
            let used = |position: &u32| MemEvent::Written(areas.used(hand.place(*position).0));
            assert_eq!(writes(fixture.mem.take_log()), positions[1..].iter().map(used).collect::<Vec<_>>());
            burst.finish().unwrap();
            assert_eq!(fixture.mem.take_log(), [used(&start_at), MemEvent::Read(areas.driver_events())]);
            (0..).zip(&positions).for_each(|(id, position)| hand.check_used(*position, id, 1));
            assert_eq!(fixture.notifications.take(), 1);
        }
    }
}

/// PACK-MB-1: a drop ends a burst as well, a flush goes on, and a burst without chains does nothing at all.
#[test]
fn burst_dropped_flushed_or_empty() {
    let (mut fixture, mut hand) = start(5, 0);
    for _ in 0..7 {
        let ((), log) = logged(&fixture.mem, || drop(fixture.queue.burst()));
        assert_eq!(log, []);
        let first = hand.next;
        (0..4).for_each(|id| _ = hand.offer(id, &[readable(1, 1)]));
        let mut burst = fixture.queue.burst();
        drop(burst.next_chain().unwrap());
        burst.flush().unwrap();
        hand.check_used(first, 0, 0);
        let (flushed, log) = logged(&fixture.mem, || burst.flush());
        assert_eq!((flushed, log), (Ok(()), Vec::new()), "nothing is new");
        (0..3).for_each(|_| drop(burst.next_chain().unwrap()));
        assert!(hand.used_at(first + 1).is_none());
        drop(burst);
        (1..4).for_each(|id| hand.check_used(first + u32::from(id), id, 0));
        assert_eq!(fixture.notifications.take(), 2);
    }
}

/// PACK-USED-8, AMB-10, SPLIT-USED-10: more than is writable is refused, with nothing written anywhere; less is not.
#[test]
fn return_of_more_than_writable_refused() {
    let (mut fixture, mut hand) = start(5, 0);
    let position = hand.offer(3, &[readable(1, 100), writable(3, 7), writable(5, 30)]);
    let mut chain = fixture.queue.next_chain().unwrap().unwrap();
    for written in [38, 137, u32::MAX] {
        fixture.mem.start_log();
        let refused = chain.try_return_written(written).unwrap_err();
        assert_eq!(refused.error, ReturnError::TooLong { written, writable: 37 });
        assert!(!fixture.mem.take_log().iter().any(|event| matches!(event, MemEvent::Written(_))));
        chain = refused.chain;
    }
    chain.return_written(36).unwrap();
    hand.check_used(position, 3, 36);
}

/// HOST-23, INV-7: whatever the driver writes into the Device Area, or into slots that the device owns, it goes on as
/// if it had not, and never looks.
#[test]
fn device_area_scribbled_over_never_matters() {
    for features in [0, EVENT_IDX] {
        let (mut fixture, mut hand) = start(5, features);
        let events = hand.raw.areas().device_events();
        fixture.mem.start_log();
        for round in 0..100_u16 {
            hand.raw.view().poke(events.start(), &[round as u8; 4]);
            assert!(fixture.queue.next_chain().unwrap().is_none());
            let position = hand.offer(round, &[writable(1, 0x1000), writable(1, 0x1000)]);
            let token = fetch(&mut fixture.queue);
            for index in 0..2 {
                let (slot, _) = hand.place(position + index);
                hand.raw.set_descriptor(slot, Descriptor { addr: DriverAddr(!0), len: !0, id: !0, flags: !0 });
            }
            fixture.queue.complete(token, round.into()).unwrap();
            hand.check_used(position, round, round.into());
        }
        assert!(!fixture.mem.take_log().contains(&MemEvent::Read(events)));
    }
}

/// A queue whose memory is mapped for what each part of it is for, and no further. Of its buffers, those for reading
/// lie in one half and those for writing in the other; tables are for reading alone.
fn with_minimal_rights(size: u16, features: u64) -> Fixture {
    let fixture = PackedFixtureOptions { memory_len: 1 << 16, ..options(size, features) }.build_on(|heap, driver| {
        let (mem, areas) = (Rc::new(TestMem::new(heap)), driver.areas());
        mem.unmap(range(0, 1 << 40));
        mem.restrict(areas.descriptors(), Access::ReadWrite);
        mem.restrict(areas.driver_events(), Access::Read);
        mem.restrict(areas.device_events(), Access::Write);
        mem.restrict(range(SPACE, 0x100), Access::Read);
        mem.restrict(range(SPACE + 0x100, 0x100), Access::Read);
        mem.restrict(range(SPACE + 0x200, 0x100), Access::Write);
        mem
    });
    fixture.unwrap()
}

/// LAY-9, PACK-DESC-1, PACK-DESC-2, PACK-IND-5, INV-6, INV-7, AMB-23, FEAT-12: the ring is read and written, the Driver
/// Area and tables are only read, the Device Area is only written; of buffers the readable ones are read, the writable
/// ones written. Nothing else is even mapped.
#[test]
fn accesses_stay_where_they_belong() {
    for features in [0, INDIRECT, EVENT_IDX, INDIRECT | EVENT_IDX] {
        let mut fixture = with_minimal_rights(5, features);
        let areas = *fixture.driver.areas();
        fixture.mem.start_log();
        for round in 0..200_u32 {
            let mut chain = DriverChain::new()
                .readable(b"some")
                .at(DriverAddr(SPACE + 0x100 + u64::from(round % 7)))
                .writable(round % 30)
                .at(DriverAddr(SPACE + 0x200 + u64::from(round % 9)));
            if features & INDIRECT != 0 && round % 2 == 0 {
                chain = chain.indirect().table_at(DriverAddr(SPACE));
            }
            fixture.driver.add(&chain).unwrap();
            let fetched = fixture.queue.next_chain().unwrap().unwrap();
            let written = serve(&fetched);
            fetched.return_written(written).unwrap();
            let used = fixture.driver.reap().unwrap().unwrap();
            assert_eq!(used.written(), &b"some".repeat(8)[..used.len as usize]);
            if round % 5 == 0 {
                fixture.queue.suppress_notifications();
                let _ = fixture.queue.enable_notifications().unwrap();
            }
        }
        let is_in = |part: DriverRange, area: DriverRange| {
            area.offset_of(part.start()).is_some_and(|offset| area.slice(offset, part.len()).is_some())
        };
        let (ring, tables) = (areas.descriptors(), range(SPACE, 0x100));
        let (readable, writable) = (range(SPACE + 0x100, 0x100), range(SPACE + 0x200, 0x100));
        for event in fixture.mem.take_log() {
            let (part, allowed) = match event {
                MemEvent::Read(part) => (part, vec![ring, areas.driver_events(), tables, readable]),
                MemEvent::Written(part) => (part, vec![ring, areas.device_events(), writable]),
                MemEvent::Translate { range, access: Access::Read } => (range, vec![tables, readable]),
                MemEvent::Translate { range, access: Access::Write } => (range, vec![writable]),
                MemEvent::Translate { range, .. } => (range, vec![]),
            };
            assert!(allowed.iter().any(|area| is_in(part, *area)), "{event:?}");
        }
    }
}

/// PACK-USED-9, BAR-9, PACK-DESC-4, INV-4, INV-5, INV-6: over a long run in every order, each used descriptor is
/// written once and in one access; its slot was fetched, and is left alone from then on until the driver has made it
/// available again.
#[test]
fn slots_written_once_each_lap() {
    for size in [1, 3, 5, 8] {
        let mut fixture = options(size, EVENT_IDX).build().unwrap();
        let areas = *fixture.driver.areas();
        let (mut tokens, mut state): (Vec<Token>, u64) = (Vec::new(), size.into());
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut returned = 0;
        fixture.mem.start_log();
        for _ in 0..2000 {
            let elements = 1 + random(usize::from(size).min(3));
            let chain = (0..elements).fold(DriverChain::new(), |chain, _| chain.writable(1));
            let _ = fixture.driver.add(&chain);
            while let Some(chain) = fixture.queue.next_chain().unwrap() {
                tokens.push(chain.into_token());
            }
            let mut burst = fixture.queue.burst();
            for _ in 0..random(tokens.len() + 1) {
                let token = tokens.swap_remove(random(tokens.len()));
                burst.complete(token, random(2) as u32).unwrap();
                returned += 1;
            }
            drop(burst);
            let slots: usize = fixture.driver.free_descriptors() + usize::from(fixture.queue.in_flight());
            assert!(slots <= size.into());
            fixture.driver.reap_all().unwrap();
            assert_eq!(fixture.driver.free_descriptors() + usize::from(fixture.queue.in_flight()), size.into());
        }
        let mut written = 0;
        for event in fixture.mem.take_log() {
            let MemEvent::Written(part) = event else { continue };
            if let Some(offset) = areas.descriptors().offset_of(part.start()) {
                assert_eq!(part, areas.used((offset / 16) as u16));
                written += 1;
            } else {
                assert_eq!(part, areas.device_events());
            }
        }
        assert_eq!(written, returned);
        assert!(returned > 300, "{returned}");
    }
}
