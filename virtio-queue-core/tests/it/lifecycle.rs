//! Reset, suspend and resume, in either format and with tokens in flight.

use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::features::{EVENT_IDX, RING_PACKED};
use virtio_fake_driver::packed::Descriptor;
use virtio_fake_driver::{
    Any, AnyRaw, Driver, DriverChain, Fixture, FixtureOptions, Format, Packed, QueueFormat, Split, TestMem,
};
use virtio_mem_traits::{AreaError, DriverAddr, TranslateError};
use virtio_queue_core::{
    AnyQueue, Armed, ConfigError, DriverNotify, FatalError, FromConfig, Queue, QueueArea, QueueConfig, QueueLimits,
    ReturnError, Ring, Suspended, Token,
};
use virtio_util::NotificationCounter;

use crate::formats::{check_dead, fetch, for_each_format, start};
use crate::support::logged;

fn add<F: Format>(driver: &mut Driver<F>, count: usize) {
    (0..count).for_each(|_| _ = driver.add(&DriverChain::new().readable(b"?").writable(4)).unwrap());
}

/// Serves one chain, with everything that belongs to it.
#[track_caller]
fn check_one<F: QueueFormat>(fixture: &mut Fixture<F>) {
    let Fixture { queue, driver, notifications, .. } = fixture;
    notifications.take();
    assert!(queue.next_chain().unwrap().is_none());
    add(driver, 1);
    assert!(driver.needs_kick());
    let token = fetch(queue);
    queue.complete(token, 0).unwrap();
    assert_eq!((driver.reap_all().unwrap().len(), notifications.take()), (1, 1));
}

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

/// GEN-5, QRST-1, QRST-5, QRST-6, DRV-CFG-7, DRV-RST-1, FEAT-19, AMB-18: from the beginning of a reset on there is no access
/// and no notification. Chains in flight are discarded; the reset is complete when there are none, and can be seen to go
/// on until then. Afterwards nothing is left that could access the memory.
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
    let options = virtio_fake_driver::DriverOptions { features, ..Default::default() };
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

/// QRST-2, QRST-3, QRST-4, QRST-8, FEAT-4, EVA-12, AMB-18: a queue that is made after a reset begins from nothing, with whatever size,
/// areas, features and format it has then, and notifies of its first buffer. Chains from before are refused, and touch
/// nothing.
#[test]
fn queue_made_after_reset_begins_anew() {
    for features in [0, EVENT_IDX] {
        for_each_format!(check_made_anew(features));
    }
}

/// What a driver of each format does to break the rules.
trait RawAccess {
    /// Makes something available that breaks a queue which is at the beginning of its ring.
    fn spoil(&self) -> FatalError;
}

fn spoil_split(raw: &virtio_fake_driver::split::RawSplit) -> FatalError {
    let size = raw.areas().size;
    raw.set_available_index(size + 1);
    FatalError::Oversubscribed { available: size + 1, in_flight: 0, size }
}

fn spoil_packed(raw: &virtio_fake_driver::packed::RawPacked) -> FatalError {
    let size = raw.areas().size;
    let flags = Descriptor::NEXT | Descriptor::AVAIL;
    (0..size).for_each(|slot| raw.set_descriptor(slot, Descriptor { flags, ..Descriptor::default() }));
    FatalError::EndlessList { size }
}

impl RawAccess for Driver<Split> {
    fn spoil(&self) -> FatalError {
        spoil_split(self.raw())
    }
}

impl RawAccess for Driver<Packed> {
    fn spoil(&self) -> FatalError {
        spoil_packed(self.raw())
    }
}

impl RawAccess for Driver<Any> {
    fn spoil(&self) -> FatalError {
        match self.raw() {
            AnyRaw::Split(raw) => spoil_split(raw),
            AnyRaw::Packed(raw) => spoil_packed(raw),
        }
    }
}

fn check_broken<F: QueueFormat>(features: u64)
where
    Driver<F>: RawAccess,
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

/// DRV-RST-2, DRV-CFG-5: what the driver has not set up again is not what it was before; where an area is missing there is no
/// queue.
#[test]
fn queue_without_area_refused_after_reset() {
    for features in [0, RING_PACKED] {
        let Fixture { queue, driver, mem, notifications } = start::<Any>(8, features);
        let (_, notify) = queue.reset().finish().expect("nothing is in flight");
        let config = driver.queue_config(QueueLimits::default());
        let unset = DriverAddr(0);
        for (area, config) in [
            (QueueArea::Descriptor, QueueConfig { descriptor_area: unset, ..config }),
            (QueueArea::Driver, QueueConfig { driver_area: unset, ..config }),
            (QueueArea::Device, QueueConfig { device_area: unset, ..config }),
        ] {
            let error = AreaError::Translate(TranslateError::Unmapped { addr: unset });
            let made = AnyQueue::new(&config, Rc::clone(&mem), Arc::clone(&notify));
            assert_eq!(made.err(), Some(ConfigError::Area { area, error }));
        }
        assert_eq!(notifications.count(), 0);
    }
}

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

/// SUSP-1, SUSP-2, SUSP-4, SUSP-6, DRV-SUSP-1, DRV-SUSP-2, FEAT-20, AMB-18, AMB-21, GEN-10, HOST-25: a queue that is drained
/// returns what is in flight; suspended, it accesses nothing; resumed, it is where it was, and finds what the driver has
/// added although it should not have.
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

/// SUSP-4, HOST-3, HOST-13: a driver that has spoilt the ring meanwhile, and one that has taken an area away: the device does
/// not run, and is told why.
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
    let addr = fixture.driver.areas().flags(2).start();
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

fn check_kept<F: QueueFormat>(features: u64) {
    let fixture = start::<F>(8, features);
    let mut config = fixture.driver.queue_config(QueueLimits::default());
    let ring = F::Ring::<Rc<TestMem>>::from_config(&config, Rc::clone(&fixture.mem)).unwrap();
    let mut queue = Queue::from_ring(ring, Arc::clone(&fixture.notifications)).unwrap();
    // A driver that changes its mind, about everything.
    config.size = 16;
    config.features = config.features.difference(config.features);
    (config.descriptor_area, config.driver_area, config.device_area) = (DriverAddr(0), DriverAddr(0), DriverAddr(0));
    assert!(F::Ring::<Rc<TestMem>>::from_config(&config, Rc::clone(&fixture.mem)).is_err());
    assert_eq!(queue.size(), 8);
    let mut driver = fixture.driver;
    for _ in 0..20 {
        assert!(queue.next_chain().unwrap().is_none());
        add(&mut driver, 1);
        assert!(driver.needs_kick());
        drop(queue.next_chain().unwrap().unwrap());
        assert_eq!((driver.reap_all().unwrap().len(), fixture.notifications.take()), (1, 1));
    }
}

/// GEN-15, DRV-INIT-2, DRV-CFG-6: a queue has what it was made with for as long as it runs, whatever the configuration says
/// later.
#[test]
fn running_queue_keeps_its_configuration() {
    for features in [0, EVENT_IDX] {
        for_each_format!(check_kept(features));
    }
}

/// DRV-INIT-1, GEN-1, AMB-21: before a queue is taken into service there is nothing to be asked for: a ring that was checked
/// is not accessed, whoever kicks.
#[test]
fn ring_not_in_service_not_accessed() {
    let Fixture { mut driver, mem, notifications, .. } = start::<Packed>(8, EVENT_IDX);
    let config = driver.queue_config(QueueLimits::default());
    let (ring, log) = logged(&mem, || {
        let ring = virtio_queue_core::packed::PackedRing::from_config(&config, Rc::clone(&mem)).unwrap();
        add(&mut driver, 2);
        let _ = driver.needs_kick();
        ring
    });
    assert_eq!((log, notifications.count()), (vec![], 0));
    let mut queue = Queue::from_ring(ring, Arc::clone(&notifications)).unwrap();
    assert!(queue.next_chain().unwrap().is_some(), "nothing is missed");
}
