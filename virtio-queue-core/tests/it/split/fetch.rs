//! Fetching, access by access: what is read of an available ring, when, and how often.

use std::rc::Rc;

use virtio_fake_driver::split::SplitAreas;
use virtio_fake_driver::{MemEvent, TestMem};

use crate::support::split::{Fixture, fixture, offer, options, used, used_since};
use crate::support::{EVENT_IDX, INDIRECT, Way, logged, readable, walk, walk_next, walk_once};

/// The device's accesses, by what they concern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    ReadIndex,
    ReadEntry(u16),
    ReadDescriptor(u16),
    AskForEntry,
}

impl Seen {
    fn event(self, areas: &SplitAreas) -> MemEvent {
        match self {
            Self::ReadIndex => MemEvent::Read(areas.available_index()),
            Self::ReadEntry(slot) => MemEvent::Read(areas.available_entry(slot)),
            Self::ReadDescriptor(index) => MemEvent::Read(areas.descriptor(index)),
            Self::AskForEntry => MemEvent::Written(areas.avail_event()),
        }
    }
}

/// Checks that the next chain, if it is the one with that id, is fetched by exactly these accesses. It stays in flight.
#[track_caller]
fn check(fixture: &mut Fixture, id: Option<u16>, accesses: &[Seen]) {
    let areas = *fixture.driver.areas();
    let fetch = || fixture.queue.next_chain().unwrap().map(|chain| chain.into_token().id());
    let (fetched, log) = logged(&fixture.mem, fetch);
    assert_eq!(fetched, id);
    assert_eq!(log, accesses.iter().map(|seen| seen.event(&areas)).collect::<Vec<_>>());
}

/// INV-2, GEN-11, SPLIT-ANOT-5, HOST-25, BAR-12: whoever kicks for nothing causes one read of 16 bits, and no write.
#[test]
fn poll_of_empty_queue_reads_index_once() {
    for features in [0, INDIRECT, EVENT_IDX] {
        let mut fixture = fixture(8, features);
        assert_eq!(fixture.driver.areas().available_index().len(), 2);
        for _ in 0..1000 {
            check(&mut fixture, None, &[Seen::ReadIndex]);
        }
        assert_eq!(fixture.notifications.count(), 0);
    }
}

/// BAR-1, SPLIT-AVAIL-4: the index first, then the entry, then the descriptor, each once; and no kick is needed.
#[test]
fn fetch_and_walk_read_in_order() {
    let mut fixture = fixture(8, 0);
    let raw = fixture.driver.raw();
    raw.set_descriptor(5, readable(0x1234, 7));
    offer(raw, &[5]);
    let fetch_and_walk = || {
        let chain = fixture.queue.next_chain().unwrap().unwrap();
        assert_eq!(walk_once(&chain, Way::Fold), (vec![(0x1234, 7, false)], None));
        chain.into_token().id()
    };
    let (id, log) = logged(&fixture.mem, fetch_and_walk);
    assert_eq!(id, 5);
    let expected = [Seen::ReadIndex, Seen::ReadEntry(0), Seen::ReadDescriptor(5)];
    assert_eq!(log, expected.map(|seen| seen.event(fixture.driver.areas())));
}

/// SPLIT-AVAIL-3, SPLIT-AVAIL-6, DRV-MAY-1: as long as something is left of what one look at the index has found, there
/// is no other look, and the descriptors are left alone.
#[test]
fn index_read_only_when_used_up() {
    for features in [0, EVENT_IDX] {
        let mut fixture = fixture(4, features);
        offer(fixture.driver.raw(), &[3, 0]);
        check(&mut fixture, Some(3), &[Seen::ReadIndex, Seen::ReadEntry(0)]);
        offer(fixture.driver.raw(), &[2, 1]);
        check(&mut fixture, Some(0), &[Seen::ReadEntry(1)]);
        check(&mut fixture, Some(2), &[Seen::ReadIndex, Seen::ReadEntry(2)]);
        check(&mut fixture, Some(1), &[Seen::ReadEntry(3)]);
    }
}

/// SPLIT-ANOT-6, BAR-2: with EVENT_IDX, an empty queue asks for the next entry and looks once more, because perhaps the
/// driver did not see the request. It asks only once.
#[test]
fn first_poll_of_dry_queue_asks_for_next_entry() {
    let mut fixture = fixture(4, EVENT_IDX);
    offer(fixture.driver.raw(), &[0, 1]);
    check(&mut fixture, Some(0), &[Seen::ReadIndex, Seen::ReadEntry(0)]);
    check(&mut fixture, Some(1), &[Seen::ReadEntry(1)]);
    check(&mut fixture, None, &[Seen::ReadIndex, Seen::AskForEntry, Seen::ReadIndex]);
    assert_eq!(fixture.driver.raw().avail_event(), 2);
    check(&mut fixture, None, &[Seen::ReadIndex]);
    check(&mut fixture, None, &[Seen::ReadIndex]);
}

/// GEN-9, DRV-INIT-1: what was made available before the queue was there, and what the driver could not kick for.
#[test]
fn buffers_pending_at_activation_fetched_without_kick() {
    for features in [0, EVENT_IDX] {
        let mut fixture = options(8, features)
            .build_on(|heap, driver| {
                driver.raw().set_descriptor(7, readable(1, 1));
                offer(driver.raw(), &[7, 7, 7]);
                Rc::new(TestMem::new(heap))
            })
            .unwrap();
        for _ in 0..3 {
            assert_eq!(walk_next(&mut fixture.queue), (vec![(1, 1, false)], None));
        }
        assert!(fixture.queue.next_chain().unwrap().is_none());
        assert_eq!(used_since(fixture.driver.raw(), 0), [used(7, 0); 3]);
    }
}

/// SPLIT-AVAIL-5, LAY-6, LAY-3: the largest queue, filled to the last descriptor and emptied, twice. Full is not empty,
/// and not too many.
#[test]
fn largest_queue_filled_completely() {
    let mut fixture = options(1 << 15, 0).build_plain().unwrap();
    let raw = fixture.driver.raw();
    // An odd multiplier makes a permutation.
    let heads: Vec<u16> = (0..1 << 15).map(|n: u16| n.wrapping_mul(12345) % (1 << 15)).collect();
    for lap in 1..=2_u16 {
        offer(raw, &heads);
        let mut tokens = Vec::new();
        while let Some(chain) = fixture.queue.next_chain().unwrap() {
            tokens.push(chain.into_token());
        }
        assert_eq!(fixture.queue.in_flight(), 1 << 15);
        assert!(tokens.iter().map(|token| token.id()).eq(heads.iter().copied()));

        let mut burst = fixture.queue.burst();
        for token in tokens {
            burst.complete(token, 1).unwrap();
        }
        burst.finish().unwrap();
        assert_eq!(fixture.queue.in_flight(), 0);
        assert_eq!(raw.used_index(), lap.wrapping_mul(1 << 15));
        assert!((0..1 << 15).all(|slot| raw.used_element(slot) == used(heads[usize::from(slot)].into(), 1)));
    }
    assert!(fixture.queue.next_chain().unwrap().is_none());
}

/// HOST-6: the same head as often as there is room. Each time it is fetched and returned.
#[test]
fn same_head_many_times_returned_each_time() {
    let mut fixture = fixture(4, 0);
    let raw = fixture.driver.raw();
    raw.set_descriptor(2, readable(9, 9));
    for lap in 1..=3 {
        offer(raw, &[2; 4]);
        let mut tokens = Vec::new();
        while let Some(chain) = fixture.queue.next_chain().unwrap() {
            assert_eq!(walk(&chain), (vec![(9, 9, false)], None));
            tokens.push(chain.into_token());
        }
        for token in tokens {
            fixture.queue.complete(token, 0).unwrap();
        }
        assert_eq!(used_since(raw, 4 * (lap - 1)), [used(2, 0); 4]);
    }
}
