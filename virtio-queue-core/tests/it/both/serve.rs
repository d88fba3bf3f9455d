//! [`Queue::serve`]: chains that are used as soon as they were looked at. It does what a burst does.

use core::panic::AssertUnwindSafe;
use std::panic::{catch_unwind, resume_unwind};

use virtio_fake_driver::features::{EVENT_IDX, INDIRECT_DESC};
use virtio_fake_driver::{DriverChain, Fixture, FixtureOptions, MemEvent, QueueFormat};
use virtio_queue_core::{Chain, ChainError, ChainErrorKind, DriverNotify, FatalError, Piece, Queue, Ring};

use crate::support::{check_dead, fetch, for_each_format, logged, plain, serve_chains, start, traffic};

/// Returns how many bytes are writable in a chain, which is what this device claims to have written.
fn writable(writable: Result<u32, ChainError>) -> u32 {
    writable.unwrap()
}

/// Serves at most `limit` chains in a burst.
fn burst<R: Ring, N: DriverNotify>(queue: &mut Queue<R, N>, limit: usize) -> usize {
    let mut burst = queue.burst();
    for served in 0..limit {
        let Some(chain) = burst.next_chain().unwrap() else { return served };
        let writable = chain.walk().map(|element| plain(element.unwrap())).filter(|element| element.2);
        let written = writable.map(|element| element.1 as u32).sum();
        chain.return_unchecked(written).unwrap();
    }
    limit
}

/// Runs traffic through a queue, and returns all that the device has done to the memory, and how often it has notified.
fn run<F: QueueFormat>(
    features: u64,
    serve: impl Fn(&mut Fixture<F>, usize) -> usize,
) -> (Vec<Vec<MemEvent>>, Vec<usize>, usize) {
    let mut fixture = start::<F>(8, features);
    let (mut logs, mut counts, mem) = (Vec::new(), Vec::new(), fixture.mem.clone());
    let mut traffic = traffic(&fixture.driver, 3, 3, 100);
    for round in 0..200 {
        (0..round % 4).for_each(|_| _ = fixture.driver.stage(&traffic.next_chain()));
        fixture.driver.publish();
        let limit = [0, 1, 2, 100][round % 7 % 4];
        let (count, log) = logged(&mem, || serve(&mut fixture, limit));
        assert!(count <= limit);
        fixture.driver.reap_all().unwrap();
        logs.push(log);
        counts.push(count);
    }
    assert!(counts.iter().sum::<usize>() > 100);
    (logs, counts, fixture.notifications.count())
}

/// SPLIT-UNOT-2, SPLIT-ANOT-6, PACK-EVT-6, BAR-2, BAR-3, BAR-6, BAR-7, REG-2: chain by chain the same accesses in the
/// same order as in a burst, one publication and at most one notification for all, and none for nothing.
#[test]
fn serving_is_a_burst() {
    fn check<F: QueueFormat>(features: u64) {
        let served = run::<F>(features, |fixture, limit| serve_chains(&mut fixture.queue, limit, writable).unwrap());
        assert_eq!(served, run::<F>(features, |fixture, limit| burst(&mut fixture.queue, limit)));
    }
    for features in [0, EVENT_IDX, INDIRECT_DESC, EVENT_IDX | INDIRECT_DESC] {
        for_each_format!(check(features));
    }
}

/// REG-6: what was fetched before stays in flight, counts, and is returned after the others.
#[test]
fn chains_in_flight_stay_there() {
    fn check<F: QueueFormat>(features: u64) {
        let mut fixture = start::<F>(4, features);
        let chain = DriverChain::new().writable(2);
        let ids = [(); 4].map(|()| fixture.driver.add(&chain).unwrap());
        let token = fetch(&mut fixture.queue);
        assert_eq!(serve_chains(&mut fixture.queue, usize::MAX, writable), Ok(3));
        assert_eq!(fixture.queue.in_flight(), 1);
        fixture.queue.complete(token, 2).unwrap();
        let used: Vec<_> = fixture.driver.reap_all().unwrap().iter().map(|used| (used.id, used.len)).collect();
        assert_eq!(used, [1, 2, 3, 0].map(|n| (ids[n], 2)));
    }
    for_each_format!(check(EVENT_IDX));
}

/// HOST-28: a malformed chain is the device's to notice. It is used like the others.
#[test]
fn malformed_chain_is_used() {
    fn check<F: QueueFormat>(features: u64) {
        let mut fixture = start::<F>(4, features);
        let malformed = DriverChain::new().writable(1).readable(b"?");
        fixture.driver.stage_unchecked(&malformed).unwrap();
        fixture.driver.publish();
        fixture.driver.add(&DriverChain::new().writable(3)).unwrap();
        let mut found = Vec::new();
        let served = serve_chains(&mut fixture.queue, 10, |writable| {
            found.push(writable.map_err(|error| error.kind));
            0
        });
        assert_eq!(served, Ok(2));
        assert!(matches!(found[..], [Err(ChainErrorKind::ReadableAfterWritable { .. }), Ok(3)]), "{found:?}");
        assert_eq!((fixture.driver.reap_all().unwrap().len(), fixture.queue.in_flight()), (2, 0));
    }
    for_each_format!(check(0));
}

/// HOST-3, GEN-2, REG-9: a ring that makes no sense breaks the queue, which is reported once.
#[test]
fn senseless_ring_breaks_queue() {
    let mut fixture = start::<virtio_fake_driver::Split>(4, 0);
    fixture.driver.add(&DriverChain::new().writable(1)).unwrap();
    fixture.driver.raw().set_available_entry(1, 4);
    fixture.driver.raw().set_available_index(2);
    let error = serve_chains(&mut fixture.queue, 10, writable).unwrap_err();
    assert!(matches!(error, FatalError::HeadOutOfRange { size: 4, .. }));
    assert_eq!(serve_chains(&mut fixture.queue, 10, writable), Ok(0));
    assert_eq!((fixture.driver.reap(), fixture.notifications.count()), (Ok(None), 0), "nothing was published");
    check_dead(&mut fixture.queue, &fixture.mem, error, true, Vec::new());
}

/// INV-3: a device that panics leaves some chains used and others not, and nobody knows which. Nothing is published,
/// and the queue says once that it is broken.
#[test]
fn panic_breaks_queue() {
    fn check<F: QueueFormat>(features: u64) {
        let mut fixture = start::<F>(4, features);
        (0..3).for_each(|_| _ = fixture.driver.add(&DriverChain::new().writable(1)).unwrap());
        let mut served = 0;
        let serve = AssertUnwindSafe(|| {
            serve_chains(&mut fixture.queue, 3, |_| {
                served += 1;
                if served == 3 { resume_unwind(Box::new(())) } else { 1 }
            })
        });
        assert!(catch_unwind(serve).is_err());
        assert_eq!((fixture.driver.reap(), fixture.notifications.count()), (Ok(None), 0));
        check_dead(&mut fixture.queue, &fixture.mem, FatalError::Panicked, false, Vec::new());
    }
    for_each_format!(check(EVENT_IDX));
}

/// HOST-28: piece by piece, each chain begins with the same state, and its end says what was written or what is wrong.
#[test]
fn pieces_are_folded_chain_by_chain() {
    fn check<F: QueueFormat>(features: u64) {
        let mut fixture = start::<F>(8, features);
        fixture.driver.add(&DriverChain::new().readable(b"123").writable(5)).unwrap();
        let malformed = DriverChain::new().writable(1).readable(b"?");
        fixture.driver.stage_unchecked(&malformed).unwrap();
        fixture.driver.publish();
        fixture.driver.add(&DriverChain::new().writable(7)).unwrap();
        let (mem, mut found) = (fixture.mem.clone(), Vec::new());
        let add = |sum, piece: Piece<'_>| Ok::<_, ChainError>(sum + piece.memory.len());
        let served = fixture.queue.serve(10, &*mem, 100, add, |sum| {
            found.push(sum.map_err(|error| error.kind));
            3 - found.len() as u32
        });
        assert_eq!(served, Ok(3));
        assert!(
            matches!(found[..], [Ok(108), Err(ChainErrorKind::ReadableAfterWritable { .. }), Ok(107)]),
            "{found:?}"
        );
        let used: Vec<_> = fixture.driver.reap_all().unwrap().iter().map(|used| used.len).collect();
        assert_eq!(used, [2, 1, 0]);
    }
    for_each_format!(check(EVENT_IDX));
}

/// INV-3: it is the same with one chain at a time, of which those before were published.
#[test]
fn panic_with_one_chain_breaks_queue() {
    fn check<F: QueueFormat>(features: u64) {
        let mut fixture = start::<F>(4, features);
        (0..3).for_each(|_| _ = fixture.driver.add(&DriverChain::new().writable(1)).unwrap());
        assert_eq!(serve_chains(&mut fixture.queue, 1, writable), Ok(1));
        let serve = AssertUnwindSafe(|| serve_chains(&mut fixture.queue, 1, |_| resume_unwind(Box::new(()))));
        assert!(catch_unwind(serve).is_err());
        assert_eq!(fixture.driver.reap_all().unwrap().len(), 1);
        check_dead(&mut fixture.queue, &fixture.mem, FatalError::Panicked, false, Vec::new());
    }
    for_each_format!(check(EVENT_IDX));
}

/// SPLIT-UNOT-5, PACK-EVT-2, REG-9: one chain at a time is published and notified of as it is returned; a ring that
/// makes no sense breaks the queue.
#[test]
fn chain_that_is_served_by_itself_is_published() {
    fn check<F: QueueFormat>(features: u64) {
        let mut fixture = start::<F>(4, features);
        assert_eq!(serve_chains(&mut fixture.queue, 1, writable), Ok(0));
        (0..3).for_each(|_| _ = fixture.driver.add(&DriverChain::new().writable(5)).unwrap());
        for served in 1..=3 {
            assert_eq!(serve_chains(&mut fixture.queue, 1, writable), Ok(1));
            assert_eq!(fixture.driver.reap().unwrap().map(|used| used.len), Some(5));
            assert_eq!((fixture.driver.reap().unwrap().is_none(), fixture.queue.in_flight()), (true, 0), "{served}");
        }
        assert_eq!(serve_chains(&mut fixture.queue, 1, writable), Ok(0));
    }
    for features in [0, EVENT_IDX] {
        for_each_format!(check(features));
    }
    let mut fixture = start::<virtio_fake_driver::Split>(4, 0);
    fixture.driver.raw().set_available_index(5);
    let error = serve_chains(&mut fixture.queue, 1, writable).unwrap_err();
    assert_eq!(error, FatalError::Oversubscribed { available: 5, in_flight: 0, size: 4 });
    check_dead(&mut fixture.queue, &fixture.mem, error, true, Vec::new());
}

/// INV-2: a driver that goes on making chains available while they are served cannot keep the device for ever: what is
/// not published is in flight for it.
#[test]
fn endless_supply_ends() {
    let mut fixture = FixtureOptions::<virtio_fake_driver::Split> { size: 4, ..Default::default() }.build().unwrap();
    let raw = fixture.driver.raw().clone();
    let mut index = 0_u16;
    let mut served = 0;
    raw.set_available_index(1);
    let error = serve_chains(&mut fixture.queue, usize::MAX, |_| {
        served += 1;
        index += 1;
        raw.set_available_index(index + 1);
        0
    });
    assert_eq!((served, error), (4, Err(FatalError::Oversubscribed { available: 1, in_flight: 4, size: 4 })));
}
