//! A driver that acts between any two accesses of the device: nothing is seen by halves, and nobody waits in vain. What
//! a missing fence would do does not show here, as both are in one thread.

use core::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use virtio_fake_driver::features::{EVENT_IDX, RING_PACKED};
use virtio_fake_driver::{Driver, DriverChain, Fixture, QueueFormat};
use virtio_mem_traits::DriverAddr;
use virtio_queue_core::{Armed, DriverNotify, Queue, Ring};

use crate::support::{for_each_format, start};

fn check_together<F: QueueFormat>(features: u64, count: usize) {
    let mut fixture = start::<F>(16, features);
    for _ in 0..7 {
        let Fixture { queue, driver, mem, notifications } = &mut fixture;
        (0..count).for_each(|_| _ = driver.stage(&DriverChain::new().readable(b"?").writable(3)).unwrap());
        driver.publish();
        let visible = Rc::new(RefCell::new(HashSet::new()));
        let seen = Rc::clone(&visible);
        // How many are used, as a driver counts them between any two accesses of the device.
        let counted: Rc<dyn Fn() -> usize> = used_counter(driver);
        mem.on_event(move |_, _| _ = seen.borrow_mut().insert(counted()));
        let mut burst = queue.burst();
        for _ in 0..count {
            burst.next_chain().unwrap().unwrap().return_written(3).unwrap();
        }
        burst.finish().unwrap();
        mem.on_event(|_, _| {});
        assert!(visible.borrow().iter().all(|seen| *seen == 0 || *seen == count), "{:?}", visible.borrow());
        assert!(visible.borrow().contains(&count));
        assert_eq!((driver.reap_all().unwrap().len(), notifications.take()), (count, 1));
    }
}

/// A count of the used buffers that are visible and not reaped: nobody uses half a burst.
fn used_counter<F: QueueFormat>(driver: &Driver<F>) -> Rc<dyn Fn() -> usize> {
    let (view, [descriptors, _, device]) = (driver.view().clone(), driver.area_addresses());
    let (size, position) = (usize::from(driver.size()), driver.notification_data(0).position);
    let in_flight = usize::from(driver.in_flight());
    if driver.features() & RING_PACKED == 0 {
        let before = position.wrapping_sub(in_flight as u16);
        Rc::new(move || {
            let index = view.peek(DriverAddr(device.0 + 2), 2);
            usize::from(u16::from_le_bytes([index[0], index[1]]).wrapping_sub(before))
        })
    } else {
        // Each chain has two descriptors; what is used is counted up to the first slot that is not.
        let next = usize::from(position & 0x7fff) + if position & 0x8000 == 0 { size } else { 0 };
        let before = next + 2 * size - 2 * in_flight;
        Rc::new(move || {
            let is_used = |n: &usize| {
                let position = before + 2 * n;
                let slot = position % size;
                let flags = view.peek(DriverAddr(descriptors.0 + 16 * slot as u64 + 14), 2);
                let expected = if position / size % 2 == 0 { 0x80 } else { 0 };
                flags.iter().all(|flags| flags & 0x80 == expected)
            };
            (0..in_flight).take_while(is_used).count()
        })
    }
}

/// PACK-MB-1, PACK-MB-2, USER-1, SPLIT-USED-11: between any two accesses of a device that returns buffers in a burst,
/// its driver finds none of them used, or all.
#[test]
fn buffers_of_burst_become_visible_together() {
    for count in 1..=8 {
        for_each_format!(check_together(EVENT_IDX, count));
    }
}

/// What a device finds, and whether it then waits for a kick.
fn poll<R: Ring, N: DriverNotify>(queue: &mut Queue<R, N>) -> (usize, bool) {
    let mut found = 0;
    loop {
        while let Some(chain) = queue.next_chain().unwrap() {
            drop(chain);
            found += 1;
        }
        if queue.enable_notifications() == Ok(Armed::Waiting) {
            return (found, true);
        }
    }
}

/// The driver makes a buffer available before the device's access number `publish`, and decides on the kick before the
/// one with the number `decide`. The device is between two polls, one of which finds nothing and goes to sleep.
fn check_kick<F: QueueFormat + 'static>(features: u64, suppressed: bool, publish: usize, decide: usize) -> bool {
    let Fixture { mut queue, mut driver, mem, .. } = start::<F>(4, features);
    // Somewhere in the middle of things.
    for _ in 0..3 {
        driver.add(&DriverChain::new().writable(1)).unwrap();
        let _ = driver.needs_kick();
        drop(queue.next_chain().unwrap());
        driver.reap_all().unwrap();
    }
    if suppressed {
        queue.suppress_notifications();
    }
    let shared = Rc::new(RefCell::new((driver, 0_usize, false)));
    let driver = Rc::clone(&shared);
    mem.on_event(move |_, _| {
        let (driver, count, kicked) = &mut *driver.borrow_mut();
        if *count == publish {
            driver.add(&DriverChain::new().writable(1)).unwrap();
        }
        if *count == decide {
            *kicked = driver.needs_kick();
        }
        *count += 1;
    });
    let (mut found, _) = poll(&mut queue);
    mem.on_event(|_, _| {});
    let (driver, count, kicked) = &mut *shared.borrow_mut();
    let reached = publish < *count;
    if !reached {
        driver.add(&DriverChain::new().writable(1)).unwrap();
    }
    if decide >= *count {
        *kicked = driver.needs_kick();
    }
    // Asleep: only a kick wakes it.
    if *kicked {
        found += poll(&mut queue).0;
    }
    assert_eq!(found, 1, "features {features:#x}, {publish} {decide}: a buffer is there and nobody looks");
    reached
}

/// INV-11, BAR-2, BAR-6, SPLIT-ANOT-7, PACK-EVT-7: a device goes to sleep, access by access, and between any two of
/// them a driver makes a buffer available, and between the same or any later two it decides on the kick. Every one of
/// these orders ends with the buffer found.
#[test]
fn kick_is_never_lost_in_any_order_of_accesses() {
    fn check<F: QueueFormat + 'static>(features: u64) {
        for suppressed in [false, true] {
            for publish in 0..12 {
                for decide in publish..12 {
                    let reached = check_kick::<F>(features, suppressed, publish, decide);
                    assert!(!reached || publish < 11, "there are more accesses than are tried");
                }
            }
        }
    }
    for features in [0, EVENT_IDX] {
        for_each_format!(check(features));
    }
}

/// A driver goes to sleep before the device's access number `ask`: it asks to be interrupted, and looks once more
/// before the access number `look`. The device uses one buffer meanwhile.
fn check_interrupt<F: QueueFormat + 'static>(features: u64, ask: usize, look: usize) -> bool {
    let Fixture { mut queue, mut driver, mem, notifications } = start::<F>(4, features);
    for _ in 0..3 {
        driver.add(&DriverChain::new().writable(1)).unwrap();
        drop(queue.next_chain().unwrap());
        driver.reap_all().unwrap();
    }
    driver.disable_interrupts();
    driver.add(&DriverChain::new().writable(1)).unwrap();
    let chain = queue.next_chain().unwrap().unwrap();
    notifications.take();
    let shared = Rc::new(RefCell::new((driver, 0_usize, false)));
    let driver = Rc::clone(&shared);
    mem.on_event(move |_, _| {
        let (driver, count, found) = &mut *driver.borrow_mut();
        if *count == ask {
            let _ = driver.enable_interrupts();
        }
        if *count == look {
            *found = driver.reap().unwrap().is_some();
        }
        *count += 1;
    });
    drop(chain);
    mem.on_event(|_, _| {});
    let (driver, count, found) = &mut *shared.borrow_mut();
    let reached = ask < *count;
    if !reached {
        let _ = driver.enable_interrupts();
    }
    if look >= *count {
        *found = driver.reap().unwrap().is_some();
    }
    assert!(*found || notifications.count() != 0, "features {features:#x}, {ask} {look}: nobody tells the driver");
    reached
}

/// INV-11, BAR-3, BAR-7, DRV-MAY-2: the other way round: a device uses a buffer, access by access, and between any two
/// of them a driver asks for an interrupt, and between the same or any later two it looks once more. It finds the
/// buffer, or is interrupted.
#[test]
fn interrupt_is_never_lost_in_any_order_of_accesses() {
    fn check<F: QueueFormat + 'static>(features: u64) {
        for ask in 0..12 {
            for look in ask..12 {
                let reached = check_interrupt::<F>(features, ask, look);
                assert!(!reached || ask < 11, "more accesses than were tried");
            }
        }
    }
    for features in [0, EVENT_IDX] {
        for_each_format!(check(features));
    }
}
