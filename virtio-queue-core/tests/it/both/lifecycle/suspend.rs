//! Suspend and resume: what is still published, what is silent, and where a queue goes on.

use std::rc::Rc;

use virtio_fake_driver::features::EVENT_IDX;
use virtio_fake_driver::{Fixture, FixtureOptions, Packed, QueueFormat, Split, TestMem};
use virtio_mem_traits::TranslateError;
use virtio_queue_core::{Armed, DriverNotify, FatalError, ReturnError, Ring, Suspended};

use super::{Spoil, add, check_one};
use crate::support::{fetch, for_each_format, logged, start};

fn check_suspend<F: QueueFormat>(features: u64) {
    let mut fixture = start::<F>(8, features);
    for round in 0..20 {
        check_one(&mut fixture);
        let Fixture { mut queue, mut driver, mem, notifications } = fixture;
        add(&mut driver, 3);
        let mut tokens: Vec<_> = (0..2).map(|_| fetch(&mut queue)).collect();
        let slots = queue.in_flight();

        // What is in flight is returned, and the driver is told.
        let (mut draining, log) = logged(&mem, || queue.drain());
        assert_eq!((log, draining.in_flight(), draining.fault()), (vec![], slots, None));
        for left in [1, 0] {
            let (refused, log) = logged(&mem, || draining.suspend().expect_err("there are chains in flight"));
            assert_eq!(log, []);
            draining = refused;
            draining.complete(tokens.pop().unwrap(), 1).unwrap();
            assert_eq!(draining.in_flight(), left * slots / 2);
            assert_eq!(driver.reap_all().unwrap().len(), 1);
            assert_eq!(notifications.take(), 1);
        }

        // Then there is silence, whatever the driver does.
        let (suspended, log) = logged(&mem, || {
            let suspended = draining.suspend().expect("nothing is in flight");
            if round % 2 == 0 {
                add(&mut driver, 1);
                let _ = driver.needs_kick();
            }
            suspended
        });
        assert_eq!((log, notifications.take()), (vec![], 0));

        // Then it goes on where it was, and finds what came before and meanwhile.
        let (queue, armed) = suspended.resume().unwrap();
        assert_eq!(armed, Armed::MoreAvailable);
        fixture = Fixture { queue, driver, mem, notifications };
        for _ in 0..2 - round % 2 {
            let token = fetch(&mut fixture.queue);
            fixture.queue.complete(token, 2).unwrap();
            assert_eq!(fixture.driver.reap().unwrap().unwrap().len, 2);
        }
        assert!(fixture.queue.next_chain().unwrap().is_none());
        let _ = fixture.driver.needs_kick();
    }
}

/// SUSP-1, SUSP-2, SUSP-4, SUSP-6, DRV-SUSP-1, DRV-SUSP-2, FEAT-20, AMB-18, AMB-21, GEN-10, HOST-25: a queue that is
/// drained returns what is in flight; suspended, it accesses nothing; resumed, it is where it was, and finds what the
/// driver has added although it should not have.
#[test]
fn queue_suspended_and_resumed() {
    for features in [0, EVENT_IDX] {
        for_each_format!(check_suspend(features));
    }
}

fn check_unpublished<F: QueueFormat>(features: u64) {
    let Fixture { mut queue, mut driver, mem, notifications } = start::<F>(4, features);
    add(&mut driver, 2);
    let mut burst = queue.burst();
    (0..2).for_each(|_| drop(burst.next_chain().unwrap().unwrap()));
    // A burst without an end: nobody has published what it holds back.
    core::mem::forget(burst);
    assert_eq!((driver.reap(), notifications.count()), (Ok(None), 0));
    let suspended = queue.drain().suspend().unwrap();
    assert_eq!((driver.reap_all().unwrap().len(), notifications.take()), (2, 1));
    let (queue, armed) = suspended.resume().unwrap();
    assert_eq!(armed, Armed::Waiting);
    check_one(&mut Fixture { queue, driver, mem, notifications });
}

/// SUSP-2: what was returned and not published yet is published before the queue is suspended.
#[test]
fn suspend_publishes_what_was_held_back() {
    for features in [0, EVENT_IDX] {
        for_each_format!(check_unpublished(features));
    }
}

fn check_waiting<F: QueueFormat>(features: u64) {
    let mut fixture = start::<F>(4, features);
    for _ in 0..9 {
        let Fixture { mut queue, driver, mem, notifications } = fixture;
        queue.suppress_notifications();
        let (queue, armed) = queue.drain().suspend().unwrap().resume().unwrap();
        assert_eq!(armed, Armed::Waiting);
        fixture = Fixture { queue, driver, mem, notifications };
        // The driver has to kick: it was asked to by the resume.
        check_one(&mut fixture);
    }
}

/// SUSP-4, EVA-15: a resumed queue asks for kicks, also if it did not want any before.
#[test]
fn resume_asks_for_notifications() {
    for features in [0, EVENT_IDX] {
        for_each_format!(check_waiting(features));
    }
}

fn check_cancelled<F: QueueFormat>(features: u64) {
    let Fixture { mut queue, mut driver, mem, notifications } = start::<F>(4, features);
    add(&mut driver, 1);
    let token = fetch(&mut queue);
    let draining = queue.drain();
    add(&mut driver, 1);
    let (mut queue, log) = logged(&mem, || draining.cancel());
    assert_eq!(log, [], "the queue is what it was");
    queue.complete(token, 0).unwrap();
    drop(queue.next_chain().unwrap().unwrap());
    assert_eq!(driver.reap_all().unwrap().len(), 2);
    let _ = driver.needs_kick();
    check_one(&mut Fixture { queue, driver, mem, notifications });
}

/// SUSP-3: a device that is not suspended after all goes on as before.
#[test]
fn drain_cancelled_goes_on() {
    for features in [0, EVENT_IDX] {
        for_each_format!(check_cancelled(features));
    }
}

fn resume_fails<R: Ring, N: DriverNotify>(suspended: Suspended<R, N>, fault: FatalError) {
    assert_eq!(suspended.resume().map(|_| ()), Err(fault));
}

/// SUSP-4, HOST-3, HOST-13: a driver that has spoilt the ring meanwhile, and one that has taken an area away: the
/// device does not run, and is told why.
#[test]
fn resume_into_spoilt_ring_refused() {
    let Fixture { queue, driver, .. } = start::<Split>(4, 0);
    resume_fails(queue.drain().suspend().unwrap(), driver.spoil());

    // Where the device asks for kicks, and where it looks for the next descriptor.
    let fixture = FixtureOptions { format: Split, size: 4, features: EVENT_IDX, ..Default::default() };
    let fixture = fixture.build_on(|heap, driver| {
        let mem = Rc::new(TestMem::new(heap));
        mem.split_at(driver.areas().avail_event().start());
        mem
    });
    let Fixture { queue, driver, mem, .. } = fixture.unwrap();
    let suspended = queue.drain().suspend().unwrap();
    let lost = driver.areas().avail_event();
    mem.unmap(lost);
    resume_fails(suspended, FatalError::Area(TranslateError::Unmapped { addr: lost.start() }.into()));

    let fixture = FixtureOptions { format: Packed, size: 4, ..Default::default() }.build_on(|heap, driver| {
        let mem = Rc::new(TestMem::new(heap));
        mem.split_at(driver.areas().descriptor(2).start());
        mem
    });
    let mut fixture = fixture.unwrap();
    check_one(&mut fixture);
    let suspended = fixture.queue.drain().suspend().unwrap();
    fixture.mem.unmap(fixture.driver.areas().descriptor(2));
    let addr = fixture.driver.areas().id_and_flags(2).start();
    resume_fails(suspended, FatalError::Area(TranslateError::Unmapped { addr }.into()));
}

/// HOST-13, SUSP-3, QRST-5: an area that is lost while a queue is drained: the chain is not returned, and the queue not
/// suspended. A reset waits for what else is in flight.
#[test]
fn drain_into_lost_area_not_suspended() {
    let fixture = FixtureOptions { format: Split, size: 4, ..Default::default() }.build_on(|heap, driver| {
        let mem = Rc::new(TestMem::new(heap));
        mem.split_at(driver.areas().used_element(0).start());
        mem
    });
    let Fixture { mut queue, mut driver, mem, .. } = fixture.unwrap();
    add(&mut driver, 2);
    let (token, slow) = (fetch(&mut queue), fetch(&mut queue));
    let lost = driver.areas().used_element(0);
    mem.unmap(lost);
    let mut draining = queue.drain();
    let fault = FatalError::Area(TranslateError::Unmapped { addr: lost.start() }.into());
    assert_eq!(draining.complete(token, 0), Err(ReturnError::Broken(fault)));
    let draining = draining.suspend().expect_err("it is broken");
    assert_eq!(draining.fault(), Some(fault));
    let mut resetting = draining.reset().finish().expect_err("a chain is in flight");
    resetting.discard(slow).unwrap();
    assert!(resetting.finish().is_ok());
}
