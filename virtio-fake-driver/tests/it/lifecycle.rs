//! Reset, and suspension, from the driver's side (FD-11).

use virtio_fake_driver::features::{EVENT_IDX, RING_PACKED};
use virtio_fake_driver::{
    Any, Driver, DriverChain, DriverOptions, Fixture, FixtureOptions, Packed, QueueFormat, Split,
};
use virtio_queue_core::{Armed, FromConfig, Queue, QueueLimits, SavedQueue};

use crate::support::{answer_to, heap, serve};

fn chain() -> DriverChain {
    DriverChain::new().writable(9)
}

/// Sends one chain through, and checks what comes back.
fn check_one<F: QueueFormat>(fixture: &mut Fixture<F>) {
    let id = fixture.driver.add(&chain()).unwrap();
    assert!(fixture.driver.needs_kick());
    assert_eq!(serve(&mut fixture.queue), Ok(1));
    assert_eq!(fixture.notifications.take(), 1);
    let used = fixture.driver.reap().unwrap().unwrap();
    assert_eq!((used.id, used.written()), (id, &answer_to(&chain())[..]));
}

fn for_every_format(check: [fn(u64); 3]) {
    for features in [0, EVENT_IDX] {
        check[0](features);
        check[1](features);
        check[2](features);
        check[2](features | RING_PACKED);
    }
}

/// QRST-2, QRST-3
fn check_reset<F: QueueFormat>(features: u64) {
    let mut fixture = FixtureOptions::<F> { size: 8, features, ..Default::default() }.build().unwrap();
    for size in [16, 1, 4] {
        check_one(&mut fixture);
        fixture.driver.add(&chain()).unwrap();
        let Fixture { queue, driver, mem, notifications } = fixture;
        let (_, notify) = queue.reset().finish().expect("nothing was fetched");
        let driver = driver.reset(size);
        assert_eq!((driver.in_flight(), driver.free_descriptors()), (0, size.into()));
        let queue = Queue::new(&driver.queue_config(QueueLimits::default()), mem.clone(), notify).unwrap();
        fixture = Fixture { queue, driver, mem, notifications };
    }
    check_one(&mut fixture);
}

/// FD-11
#[test]
fn queue_of_another_size_begins_anew_in_the_same_memory() {
    for_every_format([check_reset::<Split>, check_reset::<Packed>, check_reset::<Any>]);
}

/// SUSP-4, SUSP-6
fn check_suspend<F: QueueFormat>(features: u64) {
    let mut fixture = FixtureOptions::<F> { size: 8, features, ..Default::default() }.build().unwrap();
    for round in 0..7 {
        check_one(&mut fixture);
        let Fixture { mut queue, mut driver, mem, notifications } = fixture;
        let early = driver.add(&chain()).unwrap();
        let token = queue.next_chain().unwrap().unwrap().into_token();
        let mut draining = queue.drain();
        draining.complete(token, 0).unwrap();
        let suspended = draining.suspend().unwrap();
        assert_eq!(driver.reap().unwrap().unwrap().id, early);
        let late = (round % 2 == 1).then(|| driver.add(&chain()).unwrap());
        let (queue, armed) = suspended.resume().unwrap();
        assert_eq!(armed, if late.is_some() { Armed::MoreAvailable } else { Armed::Waiting });
        fixture = Fixture { queue, driver, mem, notifications };
        assert_eq!(serve(&mut fixture.queue), Ok(late.iter().len()));
        assert_eq!(fixture.driver.reap().unwrap().map(|used| used.id), late);
        fixture.notifications.take();
    }
}

/// FD-11
#[test]
fn suspended_queue_goes_on_where_it_was() {
    for_every_format([check_suspend::<Split>, check_suspend::<Packed>, check_suspend::<Any>]);
}

/// Lets the device die with chains in flight, and makes it anew where the used side of the ring says: the driver is the
/// same, and gets all its buffers back.
fn check_crash<F: QueueFormat>(features: u64) {
    let mut fixture =
        FixtureOptions::<F> { size: 16, features, scramble: Some(2), ..Default::default() }.build().unwrap();
    for round in 0..9 {
        let mut ids: Vec<u16> = (0..=round % 3).map(|_| fixture.driver.add(&chain()).unwrap()).collect();
        assert_eq!(serve(&mut fixture.queue), Ok(ids.len()));
        ids.extend((0..4).map(|_| fixture.driver.add(&chain().writable(1)).unwrap()));
        for _ in 0..round % 5 {
            let _ = fixture.queue.next_chain().unwrap().unwrap().into_token();
        }
        let Fixture { queue, driver, mem, notifications } = fixture;
        drop(queue);
        let (position, config) = (driver.used_position(), driver.queue_config(QueueLimits::default()));
        let saved = SavedQueue::at(position, position, config.features);
        let ring = F::Ring::from_config(&config, mem.clone()).unwrap();
        let (queue, armed) = Queue::restore(ring, notifications.clone(), &saved).unwrap();
        assert_eq!(armed, Armed::MoreAvailable);
        fixture = Fixture { queue, driver, mem, notifications };
        assert_eq!(serve(&mut fixture.queue), Ok(4), "those in flight were fetched once more");
        let used = fixture.driver.reap_all().unwrap();
        assert_eq!(used.iter().map(|used| used.id).collect::<Vec<_>>(), ids);
        assert_eq!(fixture.driver.used_position(), fixture.driver.available_position());
    }
}

/// FD-11
#[test]
fn device_is_made_anew_under_a_driver_with_chains_in_flight() {
    for_every_format([check_crash::<Split>, check_crash::<Packed>, check_crash::<Any>]);
}

#[test]
fn reset_driver_forgets_where_it_was_restored() {
    let driver = Driver::<Packed>::new(heap(), 5, DriverOptions { start: Some(0x0003), ..Default::default() });
    assert_eq!(driver.notification_data(0).position, 3);
    assert_eq!(driver.reset(6).notification_data(0).position, 0x8000);
}
