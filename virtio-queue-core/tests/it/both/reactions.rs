//! What a queue makes of a driver that breaks a rule, and of one that is notified for nothing.

use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::features::{EVENT_IDX, RING_PACKED};
use virtio_fake_driver::{Any, AnyRaw, Driver, DriverChain, QueueFormat, packed, split};
use virtio_mem_traits::DriverAddr;
use virtio_queue_core::{AnyQueue, ChainErrorKind, ConfigError, FatalError, QueueLimits};

use crate::support::{for_each_format, logged, start, walk, with};

fn check_spurious<F: QueueFormat>(features: u64) {
    let mut fixture = start::<F>(4, features);
    for round in 0..10 {
        fixture.queue.notify();
        assert_eq!((fixture.notifications.take(), fixture.driver.reap()), (1, Ok(None)));
        fixture.driver.add(&DriverChain::new().writable(1)).unwrap();
        fixture.queue.notify();
        assert_eq!((fixture.notifications.take(), fixture.driver.reap()), (1, Ok(None)), "round {round}");
        drop(fixture.queue.next_chain().unwrap().unwrap());
        assert_eq!((fixture.notifications.take(), fixture.driver.reap_all().unwrap().len()), (1, 1));
    }
}

/// DRV-UNOT-3, SPLIT-UNOT-8: a device may notify for nothing, and the driver finds nothing. What is asked for is not
/// used up by it.
#[test]
fn notification_without_reason_does_no_harm() {
    for features in [0, EVENT_IDX] {
        for_each_format!(check_spurious(features));
    }
}

/// What the driver of each format writes by hand: a chain of one descriptor, with flags beyond those of its format.
fn offer_one(driver: &Driver<Any>, addr: u64, len: u32, flags: u16) {
    match driver.raw() {
        AnyRaw::Split(raw) => {
            raw.set_descriptor(0, split::Descriptor { addr: DriverAddr(addr), len, flags, next: 0 });
            raw.set_available_entry(raw.available_index() % raw.areas().size, 0);
            raw.set_available_index(raw.available_index().wrapping_add(1));
        }
        AnyRaw::Packed(raw) => {
            let flags = flags | packed::Descriptor::AVAIL;
            raw.set_descriptor(0, packed::Descriptor { addr: DriverAddr(addr), len, flags, id: 0 });
        }
    }
}

/// AMB-1: the four reactions, in either format. CFG: no queue, and no access. CHAIN: an error where the chain is
/// walked, and everything goes on. TOL: nothing to be seen. FATAL: reported once, then nothing any more.
#[test]
fn reactions_are_these_four() {
    for format in [0, RING_PACKED] {
        let fixture = start::<Any>(8, format);
        let config = fixture.driver.queue_config(QueueLimits::default());
        let config = with(config, |config| config.size = 0);
        let (refused, log) = logged(&fixture.mem, || {
            AnyQueue::new(&config, Rc::clone(&fixture.mem), Arc::clone(&fixture.notifications)).err()
        });
        assert!(matches!(refused, Some(ConfigError::Size(_))) && log.is_empty());

        let mut fixture = start::<Any>(8, format);
        offer_one(&fixture.driver, u64::MAX, 2, 0);
        let chain = fixture.queue.next_chain().unwrap().unwrap();
        let kind = ChainErrorKind::RangeOverflow { addr: DriverAddr(u64::MAX), len: 2 };
        assert_eq!(walk(&chain).1.map(|error| error.kind), Some(kind));
        drop(chain);
        assert!(!fixture.queue.is_broken());
        assert_eq!(fixture.notifications.take(), 1);

        let mut fixture = start::<Any>(8, format);
        offer_one(&fixture.driver, 1, 2, 1 << 6 | 1 << 10);
        let chain = fixture.queue.next_chain().unwrap().unwrap();
        assert_eq!(walk(&chain), (vec![(1, 2, false)], None));
        drop(chain);

        let mut fixture = start::<Any>(8, format);
        match fixture.driver.raw() {
            AnyRaw::Split(raw) => raw.set_available_index(9),
            AnyRaw::Packed(raw) => {
                let flags = packed::Descriptor::AVAIL | packed::Descriptor::NEXT;
                (0..8).for_each(|slot| raw.set_descriptor(slot, packed::Descriptor { flags, ..Default::default() }));
            }
        }
        let fault: FatalError = fixture.queue.next_chain().unwrap_err();
        assert_eq!(fixture.queue.fault(), Some(fault));
        let (polled, log) = logged(&fixture.mem, || fixture.queue.next_chain().unwrap().is_some());
        assert_eq!((polled, log), (false, vec![]));
    }
}
