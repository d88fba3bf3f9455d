//! What happens when a queue is taken into service, what does not before, and what nothing changes afterwards.

use std::rc::Rc;

use virtio_fake_driver::{DriverChain, MemEvent, Split};
use virtio_mem_traits::{DriverAddr, TranslateError};
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{ConfigError, FatalError, FromConfig, Queue, QueueArea};
use virtio_util::NotificationCounter;

use super::{Areas, Mem, Setup, Silent, for_each_setup};
use crate::support::{EVENT_IDX, accesses, logged, one_chain, traffic};

fn check_not_activated<F: Areas>(size: u16, features: u64) {
    let setup = Setup::<F>::new(size, features);
    let (ring, log) = logged(&setup.mem, || F::Ring::<Mem>::from_config(&setup.config, Rc::clone(&setup.mem)));
    assert_eq!(log, []);
    let ((), log) = logged(&setup.mem, || drop(ring.unwrap()));
    assert_eq!(log, []);
}

/// GEN-1, GEN-13: a ring that was checked and not taken into service is not accessed, not even by its drop.
#[test]
fn ring_before_activation_not_accessed() {
    for_each_setup!(check_not_activated(EVENT_IDX));
}

/// DRV-ANOT-1, SPLIT-ANOT-1, SPLIT-ANOT-3, SPLIT-ANOT-8: activation writes the flags, whatever was there, and the event
/// field where there is one. It reads nothing and writes nothing else.
#[test]
fn activation_asks_for_notifications() {
    for features in [0, EVENT_IDX] {
        let setup = Setup::<Split>::new(8, features);
        let (raw, areas) = (setup.driver.raw(), setup.driver.areas());
        let used_ring = areas.used_ring();
        raw.view().poke(used_ring.start(), &vec![0xff; used_ring.len() as usize]);
        let (queue, log) = setup.make(&setup.config);
        assert!(queue.is_ok());

        let (flags, event) = (MemEvent::Written(areas.used_flags()), MemEvent::Written(areas.avail_event()));
        let avail_event = if features == EVENT_IDX {
            assert_eq!(accesses(&log), [flags, event]);
            0
        } else {
            assert!(!log.contains(&event) && accesses(&log).iter().all(|access| *access == flags));
            0xffff
        };
        assert_eq!((raw.used_flags(), raw.used_index(), raw.avail_event()), (0, 0xffff, avail_event));
        let elements = raw.view().peek(areas.used_element(0).start(), 64);
        assert_eq!(elements, [0xff; 64]);
    }
}

/// HOST-13: an area that disappears while the queue is made.
#[test]
fn activation_on_lost_area_refused() {
    let setup = Setup::<Split>::new(8, EVENT_IDX);
    let (flags, event) = (setup.driver.areas().used_flags(), setup.driver.areas().avail_event());
    setup.mem.split_at(event.start());
    setup.mem.on_event(move |mem, seen| {
        if seen == MemEvent::Written(flags) {
            mem.unmap(event);
        }
    });
    let (queue, _) = setup.make(&setup.config);
    let error = TranslateError::Unmapped { addr: event.start() };
    assert_eq!(queue.err(), Some(ConfigError::Activation(FatalError::Area(error.into()))));

    // From now on it is known before.
    let ring = SplitRing::from_config(&setup.config, Rc::clone(&setup.mem));
    assert_eq!(ring.err(), Some(ConfigError::Area { area: QueueArea::Device, error: error.into() }));
}

fn check_from_ring<F: Areas>(size: u16, features: u64) {
    let setup = Setup::<F>::new(size, features);
    let ring = F::Ring::<Mem>::from_config(&setup.config, Rc::clone(&setup.mem)).unwrap();
    let mut queue = Queue::from_ring(ring, Silent).unwrap();
    assert_eq!((queue.size(), queue.in_flight(), queue.fault()), (size, 0, None));
    assert!(queue.next_chain().unwrap().is_none());
}

/// A ring that was made first and taken into service later is a queue like any other.
#[test]
fn queue_from_ring_runs() {
    for_each_setup!(check_from_ring(0));
}

fn check_kept<F: Areas>(size: u16, features: u64) {
    let Setup::<F> { mem, mut driver, mut config } = Setup::new(size, features);
    let notifications = NotificationCounter::new();
    let ring = F::Ring::<Mem>::from_config(&config, Rc::clone(&mem)).unwrap();
    let mut queue = Queue::from_ring(ring, &notifications).unwrap();
    // A driver that changes its mind, about everything.
    config.size = 16;
    config.features = config.features.difference(config.features);
    (config.descriptor_area, config.driver_area, config.device_area) = (DriverAddr(0), DriverAddr(0), DriverAddr(0));
    assert!(F::Ring::<Mem>::from_config(&config, mem).is_err());
    assert_eq!(queue.size(), size);
    for chain in traffic(&driver, 1, 8, 64).take(20) {
        one_chain(&mut queue, &mut driver, &notifications, &chain);
    }
}

/// GEN-15, DRV-INIT-2, DRV-CFG-6: a queue has what it was made with for as long as it runs, whatever the configuration
/// says later.
#[test]
fn running_queue_keeps_its_configuration() {
    for features in [0, EVENT_IDX] {
        for_each_setup!(check_kept(features));
    }
}

fn check_not_in_service<F: Areas>(size: u16, features: u64) {
    let Setup::<F> { mem, mut driver, config } = Setup::new(size, features);
    let (ring, log) = logged(&mem, || {
        let ring = F::Ring::<Mem>::from_config(&config, Rc::clone(&mem)).unwrap();
        driver.add(&DriverChain::new().writable(1)).unwrap();
        let _ = driver.needs_kick();
        ring
    });
    assert_eq!(log, []);
    let mut queue = Queue::from_ring(ring, NotificationCounter::new()).unwrap();
    assert!(queue.next_chain().unwrap().is_some(), "nothing is missed");
}

/// DRV-INIT-1, GEN-1, AMB-21: before a queue is taken into service there is nothing to be asked for: a ring that was
/// checked is not accessed, whoever kicks.
#[test]
fn ring_not_in_service_not_accessed() {
    for_each_setup!(check_not_in_service(EVENT_IDX));
}
