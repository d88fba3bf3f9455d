//! Reset: what is discarded, what is left, and how a queue begins anew.

use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::features::{EVENT_IDX, RING_PACKED};
use virtio_fake_driver::{Any, Driver, DriverOptions, Fixture, Packed, QueueFormat, Split, TestMem};
use virtio_mem_traits::{AreaError, DriverAddr, TranslateError};
use virtio_queue_core::{AnyQueue, ConfigError, Queue, QueueArea, QueueLimits, ReturnError, Token};
use virtio_util::NotificationCounter;

use super::{Spoil, add, check_one};
use crate::support::{check_dead, fetch, for_each_format, logged, start, with};

fn check_reset<F: QueueFormat>(features: u64) {
    let mut fixture = start::<F>(8, features);
    check_one(&mut fixture);
    let Fixture { mut queue, mut driver, mem, notifications } = fixture;
    add(&mut driver, 4);
    let tokens: Vec<_> = (0..3).map(|_| fetch(&mut queue)).collect();
    let slots = queue.in_flight();
    let numbers: Vec<u64> = tokens.into_iter().map(Token::into_u64).collect();
    let (resetting, log) = logged(&mem, || {
        let mut resetting = queue.reset();
        let each = slots / 3;
        for (number, left) in numbers.iter().zip((0..3).rev()) {
            assert!(!resetting.is_complete());
            resetting = resetting.finish().err().expect("there are chains in flight");
            resetting.discard(Token::from_u64(*number)).unwrap();
            assert_eq!(resetting.in_flight(), left * each);
            let stale = Token::from_u64(*number);
            let id = stale.id();
            if left == 0 {
                assert_eq!(resetting.discard(stale), Err(ReturnError::Stale { id }));
            }
        }
        assert!(resetting.is_complete());
        resetting
    });
    assert_eq!((log, notifications.take()), (vec![], 0));
    assert_eq!(driver.reap(), Ok(None), "the driver does not hear of them");
    assert_eq!(Rc::strong_count(&mem), 4, "the areas keep the memory alive");
    let (ring, notify) = resetting.finish().expect("nothing is in flight");
    let ((), log) = logged(&mem, || drop(ring));
    assert_eq!(log, []);
    assert_eq!(Rc::strong_count(&mem), 1, "whoever frees the memory now, nobody notices");
    drop(notify);
}

/// GEN-5, QRST-1, QRST-5, QRST-6, DRV-CFG-7, DRV-RST-1, FEAT-19, AMB-18: from the beginning of a reset on there is no
/// access and no notification. Chains in flight are discarded; the reset is complete when there are none, and can be
/// seen to go on until then. Afterwards nothing is left that could access the memory.
#[test]
fn reset_discards_chains_and_lets_memory_go() {
    for features in [0, EVENT_IDX] {
        for_each_format!(check_reset(features));
    }
}

fn check_dropped<F: QueueFormat>(features: u64) {
    let Fixture { mut queue, mut driver, mem, notifications } = start::<F>(8, features);
    add(&mut driver, 2);
    let _token = fetch(&mut queue);
    let ((), log) = logged(&mem, || drop(queue.reset()));
    assert_eq!((log, notifications.take(), Rc::strong_count(&mem)), (vec![], 0, 1));
}

/// GEN-5, QRST-1: a queue that is given up in the middle of a reset is silent too.
#[test]
fn reset_given_up_is_silent() {
    for features in [0, EVENT_IDX] {
        for_each_format!(check_dropped(features));
    }
}

/// Makes a queue anew in the same memory: with this size and these features, at the place where a new driver wants it.
fn remake<F: QueueFormat>(mem: &Rc<TestMem>, size: u16, features: u64) -> Fixture<F> {
    let options = DriverOptions { features, ..Default::default() };
    let heap = Arc::clone(mem.view().mem());
    let driver = Driver::<F>::new(heap, size, options);
    let notifications = Arc::new(NotificationCounter::new());
    let config = driver.queue_config(QueueLimits::default());
    let queue = Queue::new(&config, Rc::clone(mem), Arc::clone(&notifications)).unwrap();
    Fixture { queue, driver, mem: Rc::clone(mem), notifications }
}

fn check_stale<F: QueueFormat>(mem: &Rc<TestMem>, number: u64, size: u16, features: u64) {
    let mut fixture = remake::<F>(mem, size, features);
    assert_eq!((fixture.queue.size(), fixture.queue.in_flight(), fixture.queue.fault()), (size, 0, None));
    add(&mut fixture.driver, usize::from(size / 2));
    let mine: Vec<_> = (0..size / 2).map(|_| fetch(&mut fixture.queue)).collect();
    let (refused, log) = logged(mem, || fixture.queue.complete(Token::from_u64(number), 1));
    let id = Token::from_u64(number).id();
    assert_eq!((refused, log), (Err(ReturnError::Stale { id }), vec![]));
    let in_flight = fixture.queue.in_flight();
    assert_eq!((fixture.notifications.count(), in_flight >= size / 2), (0, true));
    mine.into_iter().for_each(|token| fixture.queue.complete(token, 0).unwrap());
    assert_eq!(fixture.driver.reap_all().unwrap().len(), usize::from(size / 2));
    check_one(&mut fixture);
}

fn check_made_anew<F: QueueFormat>(features: u64) {
    let mut fixture = start::<F>(8, features);
    (0..11).for_each(|_| check_one(&mut fixture));
    fixture.queue.suppress_notifications();
    add(&mut fixture.driver, 3);
    let number = fetch(&mut fixture.queue).into_u64();
    let mem = Rc::clone(&fixture.mem);
    let mut resetting = fixture.queue.reset();
    resetting.discard(Token::from_u64(number)).unwrap();
    let _ = resetting.finish().expect("nothing is in flight");
    for size in [2, 8, 16] {
        check_stale::<F>(&mem, number, size, features);
        check_stale::<Split>(&mem, number, size, features & !RING_PACKED);
        check_stale::<Packed>(&mem, number, size, features);
        check_stale::<Any>(&mem, number, size, features ^ RING_PACKED);
        check_stale::<F>(&mem, number, size, features ^ EVENT_IDX);
    }
}

/// QRST-2, QRST-3, QRST-4, QRST-8, FEAT-4, EVA-12, AMB-18: a queue that is made after a reset begins from nothing, with
/// whatever size, areas, features and format it has then, and notifies of its first buffer. Chains from before are
/// refused, and touch nothing.
#[test]
fn queue_made_after_reset_begins_anew() {
    for features in [0, EVENT_IDX] {
        for_each_format!(check_made_anew(features));
    }
}

fn check_broken<F: QueueFormat>(features: u64)
where
    Driver<F>: Spoil,
{
    let Fixture { mut queue, driver, mem, notifications } = start::<F>(4, features);
    let fault = driver.spoil();
    assert_eq!(queue.next_chain().unwrap_err(), fault);
    check_dead(&mut queue, &mem, fault, true, Vec::new());
    let (draining, log) = logged(&mem, || {
        let draining = queue.drain();
        assert_eq!((draining.in_flight(), draining.fault()), (0, Some(fault)));
        draining.suspend().expect_err("a broken queue is not suspended")
    });
    assert_eq!((log, notifications.take()), (vec![], 0));
    // All that is left is a reset, after which the latch is gone.
    let _ = draining.reset().finish().expect("nothing is in flight");
    let mut fixture = remake::<F>(&mem, 4, features);
    assert!(!fixture.queue.is_broken());
    (0..9).for_each(|_| check_one(&mut fixture));
}

/// QRST-2, SUSP-3, GEN-2, INV-3: a broken queue is not suspended, says why, and publishes nothing more; a reset
/// clears it.
#[test]
fn broken_queue_reset_and_not_suspended() {
    for features in [0, EVENT_IDX] {
        for_each_format!(check_broken(features));
    }
}

fn check_other<F: QueueFormat>(features: u64) {
    let (mut one, mut other) = (start::<F>(8, features), start::<F>(8, features));
    add(&mut one.driver, 2);
    add(&mut other.driver, 3);
    let (ours, theirs) = (fetch(&mut one.queue), fetch(&mut other.queue));
    other.mem.start_log();
    let mut resetting = one.queue.reset();
    let theirs_id = theirs.id();
    let number = theirs.into_u64();
    let refused = resetting.discard(Token::from_u64(number));
    assert_eq!(refused, Err(ReturnError::Stale { id: theirs_id }), "it is not for this queue to discard");
    resetting.discard(ours).unwrap();
    let _ = resetting.finish().expect("nothing is in flight");
    assert_eq!((other.mem.take_log(), other.notifications.count()), (vec![], 0));
    assert!(other.queue.in_flight() > 0);
    other.queue.complete(Token::from_u64(number), 0).unwrap();
    let rest: Vec<_> = (0..2).map(|_| fetch(&mut other.queue)).collect();
    rest.into_iter().for_each(|token| other.queue.complete(token, 0).unwrap());
    assert_eq!(other.driver.reap_all().unwrap().len(), 3);
    other.notifications.take();
    check_one(&mut other);
}

/// QRST-7: another queue notices nothing, and its chains are as good as before.
#[test]
fn other_queue_undisturbed_by_reset() {
    for features in [0, EVENT_IDX] {
        for_each_format!(check_other(features));
    }
}

/// DRV-RST-2, DRV-CFG-5: what the driver has not set up again is not what it was before; where an area is missing there
/// is no queue.
#[test]
fn queue_without_area_refused_after_reset() {
    for features in [0, RING_PACKED] {
        let Fixture { queue, driver, mem, notifications } = start::<Any>(8, features);
        let (_, notify) = queue.reset().finish().expect("nothing is in flight");
        let config = driver.queue_config(QueueLimits::default());
        let unset = DriverAddr(0);
        for (area, config) in [
            (QueueArea::Descriptor, with(config, |config| config.descriptor_area = unset)),
            (QueueArea::Driver, with(config, |config| config.driver_area = unset)),
            (QueueArea::Device, with(config, |config| config.device_area = unset)),
        ] {
            let error = AreaError::Translate(TranslateError::Unmapped { addr: unset });
            let made = AnyQueue::new(&config, Rc::clone(&mem), Arc::clone(&notify));
            assert_eq!(made.err(), Some(ConfigError::Area { area, error }));
        }
        assert_eq!(notifications.count(), 0);
    }
}
