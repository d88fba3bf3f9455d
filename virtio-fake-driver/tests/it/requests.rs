//! What a real queue makes of the driver's requests for interrupts, and the driver of those of the queue for kicks.

use std::sync::Arc;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use virtio_fake_driver::features::{EVENT_IDX, RING_PACKED};
use virtio_fake_driver::{Any, DriverChain, Fixture, FixtureOptions, Packed, QueueFormat, Split};
use virtio_mem_traits::HeapMem;

/// Which interrupts were asked for.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Nothing,
    Everything,
    Position(u64),
}

/// Has the queue use lists of any length in bursts of any length, and checks that it interrupts exactly when asked to.
fn check_interrupts<F: QueueFormat>(size: u16, features: u64, slots_of: impl Fn(&DriverChain) -> u64) {
    let options = FixtureOptions::<F> { size, features, ..Default::default() };
    let Fixture { mut queue, mut driver, notifications, .. }: Fixture<F, Arc<HeapMem>> = options.build_plain().unwrap();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(size.into());
    let mut used = 0;
    for _ in 0..200 {
        let asked = match rng.random_range(0..4) {
            0 => {
                driver.disable_interrupts();
                Asked::Nothing
            }
            _ if features & EVENT_IDX == 0 => {
                assert!(!driver.enable_interrupts());
                Asked::Everything
            }
            _ => {
                let more = rng.random_range(0..size);
                assert!(!driver.enable_interrupts_after(more));
                Asked::Position(used + u64::from(more))
            }
        };
        let mut lists = Vec::new();
        loop {
            let elements = rng.random_range(1..=size.min(4));
            let list = (0..elements).fold(DriverChain::new(), |chain, _| chain.writable(0));
            if driver.add(&list).is_err() {
                break;
            }
            lists.push(slots_of(&list));
        }
        let mut lists = lists.as_slice();
        while !lists.is_empty() {
            let (now, later) = lists.split_at(rng.random_range(1..=lists.len()));
            let mut burst = queue.burst();
            for _ in now {
                drop(burst.next_chain().unwrap().unwrap());
            }
            assert_eq!((driver.reap(), notifications.take()), (Ok(None), 0), "the burst goes on");
            burst.finish().unwrap();
            assert_eq!(driver.reap_all().unwrap().len(), now.len());
            let new = used..used + now.iter().sum::<u64>();
            used = new.end;
            let due = match asked {
                Asked::Nothing => false,
                Asked::Everything => true,
                // EVA-10: a whole lap is answered by an interrupt whatever the wrap counter.
                Asked::Position(position) => new.contains(&position) || new.end - new.start >= u64::from(size),
            };
            assert_eq!(notifications.take(), due.into(), "{asked:?} of {new:?} in a queue of {size}");
            lists = later;
        }
    }
    assert_eq!(driver.in_flight(), 0);
}

/// EVA-1, EVA-6, PACK-EVT-2, PACK-EVT-9
#[test]
fn queue_interrupts_exactly_when_asked_to() {
    let slots = |list: &DriverChain| list.descriptors() as u64;
    for features in [0, EVENT_IDX] {
        for size in [2, 8, 16] {
            check_interrupts::<Split>(size, features, |_| 1);
            check_interrupts::<Any>(size, features, |_| 1);
        }
        for size in [1, 2, 3, 5, 7, 13] {
            check_interrupts::<Packed>(size, features, slots);
            check_interrupts::<Any>(size, features | RING_PACKED, slots);
        }
    }
}

/// EVA-15, PACK-EVT-7: with buffers in flight, the fetch position is ahead of the used one.
fn check_kicks<F: QueueFormat>(size: u16, features: u64) {
    let options = FixtureOptions::<F> { size, features: features | EVENT_IDX, ..Default::default() };
    let Fixture { mut queue, mut driver, .. } = options.build_plain().unwrap();
    let mut held = None;
    for round in 0..200 {
        driver.add(&DriverChain::new().writable(0)).unwrap();
        assert!(driver.needs_kick(), "round {round}: the queue had nothing left");
        driver.add(&DriverChain::new().writable(0)).unwrap();
        assert!(!driver.needs_kick(), "round {round}: the queue was kicked and has not looked");
        if let Some(token) = held.take() {
            queue.complete(token, 0).unwrap();
        }
        held = Some(queue.next_chain().unwrap().unwrap().into_token());
        drop(queue.next_chain().unwrap().unwrap());
        assert!(queue.next_chain().unwrap().is_none());
        driver.reap_all().unwrap();
    }
}

#[test]
fn queue_is_kicked_for_the_first_list_after_it_had_none() {
    for size in [4, 8] {
        check_kicks::<Split>(size, 0);
    }
    for size in [3, 4, 5, 7] {
        check_kicks::<Packed>(size, 0);
        check_kicks::<Any>(size, RING_PACKED);
    }
}
