//! Rings that make no sense: the error, once, and then nothing at all.

use std::rc::Rc;

use virtio_fake_driver::{MemEvent, TestMem};
use virtio_mem_traits::{AreaError, DriverRange, TranslateError};
use virtio_queue_core::{Burst, ChainError, ChainErrorKind, DescChain, FatalError, ReturnError, Token};
use virtio_ring::split::DescriptorIndex;

use crate::support::split::{Fixture, fixture, offer, options, used, used_since};
use crate::support::{self, EVENT_IDX, INDIRECT, logged, readable, serve_chains, walk_next};

/// Makes chains available and fetches them: `in_flight` of them stay out, `returned` are given back.
fn advance(fixture: &mut Fixture, returned: u16, in_flight: u16) -> Vec<Token> {
    let raw = fixture.driver.raw().clone();
    raw.set_descriptor(0, readable(1, 1));
    for _ in 0..returned {
        offer(&raw, &[0]);
        assert!(fixture.queue.next_chain().unwrap().is_some());
    }
    offer(&raw, &vec![0; in_flight.into()]);
    (0..in_flight).map(|_| fixture.queue.next_chain().unwrap().unwrap().into_token()).collect()
}

/// Checks that a queue that has reported `fault`, or will do so yet, accesses nothing any more whatever is asked of it,
/// not even in its drop, and notifies nobody.
#[track_caller]
fn check_dead(mut fixture: Fixture, fault: FatalError, reported: bool, tokens: Vec<Token>) {
    fixture.notifications.take();
    support::check_dead(&mut fixture.queue, &fixture.mem, fault, reported, tokens);
    let ((), log) = logged(&fixture.mem, || drop(fixture.queue));
    assert_eq!((log, fixture.notifications.count()), (vec![], 0));
}

/// HOST-4, INV-5: the same where chains are served. None of them is.
#[test]
fn oversubscription_with_chains_in_flight_breaks_queue_that_serves() {
    let mut over = fixture(8, 0);
    let tokens = advance(&mut over, 3, 2);
    offer(over.driver.raw(), &[0; 7]);
    let fault = FatalError::Oversubscribed { available: 7, in_flight: 2, size: 8 };
    assert_eq!(serve_chains(&mut over.queue, usize::MAX, |_| 0), Err(fault));
    check_dead(over, fault, true, tokens);
}

/// HOST-3, DRV-AVAIL-1, REG-9, INV-3, GEN-2: the index jumps by more than fits, forwards or backwards, with nothing in
/// flight. No entry is read.
#[test]
fn index_jump_breaks_queue() {
    for (size, returned) in [(8, 0), (8, 3), (8, 20), (1, 0), (256, 5)] {
        let minus = |distance: u16| distance.wrapping_neg();
        for available in [size + 1, size + 2, 2 * size, 0x7fff, 0x8000, 0x8001, minus(size), minus(2), minus(1)] {
            for features in [0, EVENT_IDX] {
                let mut fixture = fixture(size, features);
                advance(&mut fixture, returned, 0);
                let raw = fixture.driver.raw();
                raw.set_available_index(returned.wrapping_add(available));
                let fault = FatalError::Oversubscribed { available, in_flight: 0, size };
                let (error, log) = logged(&fixture.mem, || fixture.queue.next_chain().unwrap_err());
                assert_eq!(error, fault);
                assert_eq!(log, [MemEvent::Read(raw.areas().available_index())]);
                check_dead(fixture, fault, true, Vec::new());
            }
        }
    }
}

/// HOST-4, LAY-6, DRV-AVAIL-1, INV-5: with chains in flight there is room for as many less, and not for one more. A
/// step back is as fatal as a jump.
#[test]
fn oversubscription_with_chains_in_flight_breaks_queue() {
    for in_flight in 0..=8 {
        let room = 8 - in_flight;
        let mut within = fixture(8, 0);
        advance(&mut within, 3, in_flight);
        offer(within.driver.raw(), &vec![0; room.into()]);
        assert_eq!(within.queue.next_chain().unwrap().is_some(), room != 0);
        assert!(!within.queue.is_broken());

        for available in [room + 1, room + 2, 9, 0x8000, 0xffff] {
            let mut over = fixture(8, 0);
            let tokens = advance(&mut over, 3, in_flight);
            let raw = over.driver.raw();
            raw.set_available_index(raw.available_index().wrapping_add(available));
            let fault = FatalError::Oversubscribed { available, in_flight, size: 8 };
            assert_eq!(over.queue.next_chain().unwrap_err(), fault);
            check_dead(over, fault, true, tokens);
        }
    }
}

/// HOST-4, LAY-6, INV-5: what a burst holds back is in flight for the driver, who cannot have made more available
/// in its place. So a burst ends, and holds back no more than the queue has room for.
#[test]
fn oversubscription_during_burst_breaks_queue() {
    for held in 1..=8 {
        let mut over = fixture(8, EVENT_IDX);
        let tokens = advance(&mut over, 5, 0);
        let raw = over.driver.raw().clone();
        offer(&raw, &vec![0; held]);
        let mut burst = over.queue.burst();
        (0..held).for_each(|_| drop(burst.next_chain().unwrap().unwrap()));
        offer(&raw, &vec![0; 8 - held]);
        (held..8).for_each(|_| drop(burst.next_chain().unwrap().unwrap()));
        offer(&raw, &[0]);
        let fault = FatalError::Oversubscribed { available: 1, in_flight: 8, size: 8 };
        assert_eq!(burst.next_chain().unwrap_err(), fault);
        drop(burst);
        assert_eq!(raw.used_index(), 5);
        check_dead(over, fault, true, tokens);
    }
}

/// HOST-3: the same is found where notifications are enabled.
#[test]
fn index_jump_found_by_enabling_notifications_breaks_queue() {
    for features in [0, EVENT_IDX] {
        let mut fixture = fixture(8, features);
        fixture.driver.raw().set_available_index(9);
        let fault = FatalError::Oversubscribed { available: 9, in_flight: 0, size: 8 };
        assert_eq!(fixture.queue.enable_notifications(), Err(fault));
        check_dead(fixture, fault, true, Vec::new());
    }
}

/// HOST-1: a head that the table does not have is not taken modulo anything, and there is no way on.
#[test]
fn head_out_of_range_breaks_queue() {
    for (size, head) in [(1, 1), (1, 0xffff), (8, 8), (8, 9), (8, 0x8000), (8, 0xffff), (256, 256)] {
        let mut fixture = fixture(size, INDIRECT);
        let raw = fixture.driver.raw().clone();
        raw.set_descriptor(0, readable(1, 1));
        offer(&raw, &[head]);
        let fault = FatalError::HeadOutOfRange { head: DescriptorIndex(head), size };
        let (error, log) = logged(&fixture.mem, || fixture.queue.next_chain().unwrap_err());
        assert_eq!(error, fault);
        let areas = raw.areas();
        assert_eq!(log, [areas.available_index(), areas.available_entry(0)].map(MemEvent::Read));
        check_dead(fixture, fault, true, Vec::new());
    }
}

/// HOST-1, HOST-28: a good chain before the bad head is fetched; nothing after it is.
#[test]
fn head_out_of_range_after_good_chain_breaks_queue_then() {
    let mut fixture = fixture(4, 0);
    fixture.driver.raw().set_descriptor(0, readable(1, 1));
    offer(fixture.driver.raw(), &[0, 4, 0]);
    let token = fixture.queue.next_chain().unwrap().unwrap().into_token();
    let fault = FatalError::HeadOutOfRange { head: DescriptorIndex(4), size: 4 };
    assert_eq!(fixture.queue.next_chain().unwrap_err(), fault);
    check_dead(fixture, fault, true, vec![token]);
}

/// INV-3: what a burst held back when its queue broke is not published, and a chain that is dropped afterwards goes
/// nowhere.
#[test]
fn queue_broken_in_burst_publishes_nothing() {
    let mut fixture = fixture(8, 0);
    fixture.driver.raw().set_descriptor(0, readable(1, 1));
    offer(fixture.driver.raw(), &[0, 0, 8]);
    let mut burst = fixture.queue.burst();
    drop(burst.next_chain().unwrap());
    drop(burst.next_chain().unwrap());
    let fault = FatalError::HeadOutOfRange { head: DescriptorIndex(8), size: 8 };
    assert_eq!(burst.next_chain().unwrap_err(), fault);
    assert_eq!(burst.finish(), Err(fault));
    assert_eq!(used_since(fixture.driver.raw(), 0), []);
    assert_eq!(fixture.notifications.count(), 0);
    check_dead(fixture, fault, true, Vec::new());
}

/// INV-3, QRST-5: chains that were fetched before their queue broke, dropped and returned after it, are not in flight
/// then.
#[test]
fn chains_of_broken_queue_go_nowhere() {
    let fixture = fixture(8, 0);
    fixture.driver.raw().set_descriptor(0, readable(1, 1));
    offer(fixture.driver.raw(), &[0, 0, 8]);
    let (ring, mut state) = fixture.queue.into_parts();
    let first = state.fetch(&ring).unwrap().unwrap();
    let second = state.fetch(&ring).unwrap().unwrap();
    let fault = state.fetch(&ring).map(|_| ()).unwrap_err();
    fixture.mem.start_log();
    drop(DescChain::new(&ring, first, &mut state));
    let refused = DescChain::new(&ring, second, &mut state).return_written(0).unwrap_err();
    assert_eq!(refused, ReturnError::Broken(fault));
    assert_eq!(state.publish(&ring), Err(fault));
    drop(Burst::new(&ring, &mut state));
    assert_eq!(fixture.mem.take_log(), []);
    assert_eq!((state.in_flight(), fixture.notifications.count()), (0, 0));
}

/// A queue of 8 with areas in pieces, so that each field but those of the first 4 bytes is translated for every access.
fn in_pieces(features: u64) -> Fixture {
    let fixture = options(8, features).build_on(|heap, driver| {
        let mem = Rc::new(TestMem::new(heap));
        let areas = driver.areas();
        for area in [areas.descriptors(), areas.available_ring(), areas.used_ring()] {
            mem.split_at(area.after(2).start());
            mem.split_at(area.after(4).start());
        }
        mem
    });
    let fixture = fixture.unwrap();
    fixture.driver.raw().set_descriptor(0, readable(1, 1));
    fixture
}

fn lost(range: DriverRange) -> FatalError {
    FatalError::Area(AreaError::Translate(TranslateError::Unmapped { addr: range.start() }))
}

/// HOST-13, DRV-RST-1: the driver's area disappears, field by field, and the device looks for buffers.
#[test]
fn driver_area_lost_while_fetching_breaks_queue() {
    for (field, in_burst) in [(2, false), (2, true), (4, false), (4, true)] {
        let mut fixture = in_pieces(0);
        offer(fixture.driver.raw(), &[0]);
        let field = fixture.driver.areas().available_ring().after(field).prefix(2);
        fixture.mem.unmap(field);
        let queue = &mut fixture.queue;
        let error = if in_burst { queue.burst().next_chain().unwrap_err() } else { queue.next_chain().unwrap_err() };
        assert_eq!(error, lost(field));
        check_dead(fixture, lost(field), true, Vec::new());
    }
}

/// HOST-13: the used ring disappears, and a chain is returned. Who returns it is told, and so is who fetches next.
#[test]
fn device_area_lost_while_returning_breaks_queue() {
    for by_token in [false, true] {
        for (offset, len) in [(4, 4), (8, 4), (2, 2)] {
            let mut fixture = in_pieces(0);
            offer(fixture.driver.raw(), &[0]);
            let field = fixture.driver.areas().used_ring().after(offset).prefix(len);
            fixture.mem.unmap(field);
            let fault = ReturnError::Broken(lost(field));
            let chain = fixture.queue.next_chain().unwrap().unwrap();
            if by_token {
                let token = chain.into_token();
                assert_eq!(fixture.queue.complete(token, 0), Err(fault));
            } else {
                assert_eq!(chain.return_written(0).unwrap_err(), fault);
            }
            assert_eq!(used_since(fixture.driver.raw(), 0), []);
            assert_eq!(fixture.notifications.count(), 0);
            check_dead(fixture, lost(field), false, Vec::new());
        }
    }
}

/// HOST-13: a drop cannot say that it failed; the next fetch does.
#[test]
fn device_area_lost_while_dropping_reported_by_next_fetch() {
    let mut fixture = in_pieces(0);
    offer(fixture.driver.raw(), &[0, 0]);
    let field = fixture.driver.areas().used_ring().after(4).prefix(4);
    fixture.mem.unmap(field);
    drop(fixture.queue.next_chain().unwrap());
    check_dead(fixture, lost(field), false, Vec::new());
}

/// HOST-13: the field that says whether to notify disappears. The buffer was published then, and nobody is notified.
#[test]
fn used_event_lost_after_publishing_breaks_queue() {
    let mut fixture = in_pieces(EVENT_IDX);
    offer(fixture.driver.raw(), &[0]);
    let field = fixture.driver.areas().used_event();
    fixture.mem.unmap(field);
    let chain = fixture.queue.next_chain().unwrap().unwrap();
    assert_eq!(chain.return_written(0).unwrap_err(), ReturnError::Broken(lost(field)));
    assert_eq!(used_since(fixture.driver.raw(), 0), [used(0, 0)]);
    assert_eq!(fixture.notifications.count(), 0);
    check_dead(fixture, lost(field), false, Vec::new());
}

/// HOST-13, INV-3: the same after chains were served. Who serves them is told, and nobody after that.
#[test]
fn used_event_lost_after_serving_breaks_queue() {
    let mut fixture = in_pieces(EVENT_IDX);
    offer(fixture.driver.raw(), &[0]);
    let field = fixture.driver.areas().used_event();
    fixture.mem.unmap(field);
    assert_eq!(serve_chains(&mut fixture.queue, 1, |_| 0), Err(lost(field)));
    assert_eq!(used_since(fixture.driver.raw(), 0), [used(0, 0)]);
    check_dead(fixture, lost(field), true, Vec::new());
}

/// HOST-13: the field by which the device asks for notifications disappears. Suppressing is a hint and says nothing;
/// the next fetch does.
#[test]
fn avail_event_lost_breaks_queue() {
    let mut fixture = in_pieces(EVENT_IDX);
    let field = fixture.driver.areas().avail_event();
    fixture.mem.unmap(field);
    fixture.queue.suppress_notifications();
    assert!(!fixture.queue.is_broken(), "with EVENT_IDX, nothing is written");
    assert_eq!(fixture.queue.enable_notifications(), Err(lost(field)));
    check_dead(fixture, lost(field), true, Vec::new());

    let mut fixture = in_pieces(EVENT_IDX);
    let field = fixture.driver.areas().avail_event();
    offer(fixture.driver.raw(), &[0]);
    let token = fixture.queue.next_chain().unwrap().unwrap().into_token();
    fixture.mem.unmap(field);
    assert_eq!(fixture.queue.next_chain().unwrap_err(), lost(field));
    check_dead(fixture, lost(field), true, vec![token]);
}

/// HOST-11: the descriptor table disappears. That is found by a walk, outside of the queue, and is the chain's error:
/// the rings are as good as before.
#[test]
fn descriptor_area_lost_is_error_of_chain() {
    let mut fixture = in_pieces(0);
    offer(fixture.driver.raw(), &[1]);
    let field = fixture.driver.areas().descriptor(1);
    fixture.mem.unmap(field);
    let kind = ChainErrorKind::Memory(TranslateError::Unmapped { addr: field.start() });
    assert_eq!(walk_next(&mut fixture.queue), (Vec::new(), Some(ChainError { id: 1, kind })));
    assert_eq!(used_since(fixture.driver.raw(), 0), [used(1, 0)]);
    assert!(!fixture.queue.is_broken());
}
