//! A device that uses buffers while the driver is about to sleep.

use loom::thread;
use loom_models::{Device, Rig, answer, check, request};
use virtio_fake_driver::AnyRaw;
use virtio_fake_driver::features::RING_PACKED;
use virtio_fake_driver::packed::Descriptor;
use virtio_ring::split::{DeviceArea, Layout, QueueSize, RingIndex};

use crate::support::{serve, serve_all};

/// The flags of a descriptor that was used in the first lap.
const BOTH: u16 = Descriptor::AVAIL | Descriptor::USED;

/// The device does `work` that uses `count` buffers, while the driver asks to be interrupted.
fn check_interrupt(count: u8, work: fn(&mut Device)) {
    check(move |mut rig: Rig| {
        let mut queue = rig.device();
        (0..count).for_each(|number| rig.stage(number));
        rig.driver.publish();
        let device = thread::spawn(move || {
            work(&mut queue);
            queue
        });
        let seen = rig.driver.enable_interrupts();
        let reaped = if seen { rig.reap() } else { 0 };
        assert_eq!(reaped != 0, seen, "what was seen can be reaped");
        let _queue = device.join().unwrap();
        assert!(seen || rig.interrupt.is_given(), "an interrupt was lost");
        assert_eq!(reaped + rig.reap(), count.into());
    });
}

/// BAR-3, BAR-4, BAR-7, BAR-8, SPLIT-UNOT-10: either the driver sees the buffer when it looks once more, or the device
/// sees that it has to interrupt. What the device wrote is there by then.
#[test]
fn completing_against_enabling_loses_no_interrupt() {
    check_interrupt(1, |queue| serve(queue.next_chain().unwrap().unwrap()));
}

/// BAR-3, BAR-7, PACK-MB-1: the chains of a burst become visible at once.
#[test]
fn burst_against_enabling_is_seen_as_a_whole() {
    let burst = |queue: &mut Device| {
        let mut burst = queue.burst();
        (0..2).for_each(|_| serve(burst.next_chain().unwrap().unwrap()));
        burst.finish().unwrap();
    };
    check(move |mut rig: Rig| {
        let mut queue = rig.device();
        rig.stage(0);
        rig.stage(1);
        rig.driver.publish();
        let device = thread::spawn(move || {
            burst(&mut queue);
            queue
        });
        let reaped = rig.reap();
        assert!(reaped == 0 || reaped == 2, "{reaped} of 2");
        let _queue = device.join().unwrap();
        assert_eq!(reaped + rig.reap(), 2);
    });
}

/// BAR-8: a driver can look at any used descriptor, not only at the one that publishes the others, and finds what
/// stands behind it.
#[test]
fn serving_against_a_look_at_the_second_descriptor_finds_its_answer() {
    check(|mut rig: Rig| {
        let AnyRaw::Packed(raw) = rig.driver.raw() else { return };
        let raw = raw.clone();
        let mut queue = rig.device();
        rig.stage(0);
        rig.stage(1);
        rig.driver.publish();
        let device = thread::spawn(move || {
            serve_all(&mut queue);
            queue
        });
        // Each chain has two descriptors.
        if raw.used_descriptor(2).flags & BOTH == BOTH {
            assert_eq!(rig.peek_answer(1), answer(request(1)));
        }
        let _queue = device.join().unwrap();
        assert_eq!(rig.reap(), 2);
    });
}

/// SPLIT-USED-8, BAR-4: who looks at a used ring while the device publishes finds the elements below the index.
#[test]
fn reading_the_used_ring_against_completing_finds_the_elements() {
    check(|mut rig: Rig| {
        if rig.driver.features() & RING_PACKED != 0 {
            return;
        }
        let mut queue = rig.device();
        rig.add(0);
        let (layout, addr) = (Layout::new(QueueSize::new(rig.driver.size()).unwrap()), rig.config().device_area);
        let area = DeviceArea::for_reading(rig.mem(), layout, addr).unwrap();
        let device = thread::spawn(move || {
            serve(queue.next_chain().unwrap().unwrap());
            queue
        });
        if area.index().unwrap() == RingIndex::new(1) {
            assert_eq!(area.used(RingIndex::new(0)).unwrap().len(), 4);
        }
        let _queue = device.join().unwrap();
    });
}

/// BAR-3, BAR-7: a driver that takes a buffer back asks for an interrupt for the next one.
#[test]
fn completing_against_reaping_loses_no_interrupt() {
    check(|mut rig: Rig| {
        let mut queue = rig.device();
        assert!(!rig.driver.enable_interrupts());
        rig.stage(0);
        rig.stage(1);
        rig.driver.publish();
        serve(queue.next_chain().unwrap().unwrap());
        let device = thread::spawn(move || {
            serve(queue.next_chain().unwrap().unwrap());
            queue
        });
        let reaped = rig.reap();
        let _queue = device.join().unwrap();
        // The first buffer has brought one already.
        assert!(reaped == 2 || rig.interrupt.count() == 2, "an interrupt was lost");
        assert_eq!(reaped + rig.reap(), 2);
    });
}
