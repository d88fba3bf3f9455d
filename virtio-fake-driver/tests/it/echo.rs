//! The driver and a real queue, which sleeps unless kicked; and so does the driver unless interrupted.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::features::{EVENT_IDX, INDIRECT_DESC, RING_PACKED};
use virtio_fake_driver::{Any, Driver, DriverOptions, Fixture, FixtureOptions, Packed, QueueFormat, Split, TestMem};
use virtio_mem_traits::{Access, DriverAddr, DriverMem, DriverRange, HeapMem, StableMem};
use virtio_queue_core::{Armed, FromConfig, Queue, QueueLimits, SavedQueue};
use virtio_util::NotificationCounter;

use crate::support::{answer_to, serve};

/// Sends `count` random chains through, in batches of any size, and checks what each side gets of the other.
pub(crate) fn check<F, M, D>(mut fixture: Fixture<F, M, D>, bytes: u32, count: usize)
where
    F: QueueFormat,
    M: StableMem,
    D: DriverMem + Clone,
{
    let Fixture { queue, driver, notifications, .. } = &mut fixture;
    let mut traffic = driver.traffic(count as u64, bytes).take(count).peekable();
    let mut expected = HashMap::new();
    let (mut sent, mut received) = (0, 0);
    while received < count {
        let before = (sent, received);
        for _ in 0..=sent % 5 {
            let Some(Ok(id)) = traffic.peek().map(|chain| driver.stage(chain)) else { break };
            assert_eq!(expected.insert(id, answer_to(&traffic.next().unwrap())), None);
            sent += 1;
        }
        driver.publish();
        if driver.needs_kick() {
            serve(queue).unwrap();
        }
        if notifications.take() != 0 {
            for used in driver.reap_all().unwrap() {
                assert_eq!(used.written(), expected.remove(&used.id).unwrap());
                assert!(used.rest_is_untouched());
                received += 1;
            }
        }
        assert_ne!((sent, received), before, "somebody sleeps and should not");
    }
    assert_eq!((queue.in_flight(), driver.in_flight()), (0, 0));
    assert_eq!(driver.free_descriptors(), usize::from(driver.size()));
}

pub(crate) const FEATURES: [u64; 4] = [0, EVENT_IDX, INDIRECT_DESC, EVENT_IDX | INDIRECT_DESC];

fn check_sizes<F: QueueFormat>(sizes: &[u16], more_features: u64) {
    for features in FEATURES.map(|features| features | more_features) {
        for size in sizes {
            let scramble = (size % 3 != 0).then_some(1);
            let options = FixtureOptions::<F> { size: *size, features, scramble, ..Default::default() };
            check(options.build_plain().unwrap(), 200, if *size > 8 { 150 } else { 1000 });
        }
    }
}

#[test]
fn random_chains_go_through_split_queues_of_every_kind() {
    check_sizes::<Split>(&[1, 2, 8, 256], 0);
}

/// LAY-8
#[test]
fn random_chains_go_through_packed_queues_of_every_kind() {
    check_sizes::<Packed>(&[1, 2, 3, 5, 7, 8, 255, 256, 257], 0);
}

#[test]
fn random_chains_go_through_queues_of_a_format_chosen_when_they_are_made() {
    check_sizes::<Any>(&[1, 8], 0);
    check_sizes::<Any>(&[1, 3, 8], RING_PACKED);
}

/// PACK-WRAP-4
#[test]
fn wrap_counters_change_thousands_of_times() {
    for (features, size) in [(0, 1), (0, 3), (EVENT_IDX, 1), (EVENT_IDX | INDIRECT_DESC, 3)] {
        let options = FixtureOptions::<Packed> { size, features, ..Default::default() };
        check(options.build_plain().unwrap(), 10, 5000);
    }
}

/// Sends chains through a queue that was restored, and where both sides begin at `start`.
fn check_restored<F: QueueFormat>(size: u16, features: u64, start: u16) {
    let mem = Arc::new(HeapMem::new(DriverAddr(0x1000), 0x8000).unwrap());
    let options = DriverOptions { features, start: Some(start), scramble: Some(6) };
    let driver = Driver::<F>::new(mem.clone(), size, options);
    let config = driver.queue_config(QueueLimits::default());
    let saved = SavedQueue::at(start, start, config.features);
    let ring = F::Ring::from_config(&config, mem.clone()).unwrap();
    let notifications = Arc::new(NotificationCounter::new());
    let (queue, armed) = Queue::restore(ring, notifications.clone(), &saved).unwrap();
    assert_eq!((armed, notifications.take()), (Armed::Waiting, 1));
    check(Fixture { queue, driver, mem, notifications }, 20, 200);
}

/// SPLIT-AVAIL-2, SPLIT-USED-7, FD-14
#[test]
fn restored_split_queue_passes_2_to_the_16() {
    for features in FEATURES {
        for start in [0x7ff0, 0xff80, 0xfffd, 0xffff] {
            check_restored::<Split>(8, features, start);
        }
    }
}

#[test]
fn restored_packed_queue_begins_in_any_slot_of_either_lap() {
    for features in FEATURES {
        for (size, wrap) in [1, 3, 8].into_iter().flat_map(|size| [0, 0x8000].map(|wrap| (size, wrap))) {
            for start in (0..size).map(|slot| slot | wrap) {
                check_restored::<Packed>(size, features, start);
            }
        }
    }
}

/// Sends chains through memory in pieces, in which the device may do with an area what `rights` say and no more.
fn check_least_rights<F: QueueFormat>(size: u16, rights: impl Fn(&F) -> [(Access, u64); 3]) {
    for features in FEATURES {
        let options = FixtureOptions::<F> { size, features, scramble: Some(3), ..Default::default() };
        let fixture = options.build_on(|heap, driver| {
            let mem = Rc::new(TestMem::new(heap));
            for (start, (access, len)) in driver.area_addresses().into_iter().zip(rights(&options.format)) {
                mem.restrict(DriverRange::new(start, len).unwrap(), access);
            }
            for offset in (0..0x400).step_by(13 * 4) {
                mem.split_at(DriverAddr(mem.view().mem().range().start().0 + offset));
            }
            mem
        });
        check(fixture.unwrap(), 200, 500);
    }
}

/// LAY-4, LAY-5, SPLIT-DESC-3, SPLIT-AVAIL-1
#[test]
fn random_chains_go_through_a_split_ring_in_pieces_with_the_least_rights() {
    check_least_rights(8, |_: &Split| [(Access::Read, 16 * 8), (Access::Read, 6 + 2 * 8), (Access::Write, 6 + 8 * 8)]);
}

/// LAY-4, LAY-9
#[test]
fn random_chains_go_through_a_packed_ring_in_pieces_with_the_least_rights() {
    check_least_rights(7, |_: &Packed| [(Access::ReadWrite, 16 * 7), (Access::Read, 4), (Access::Write, 4)]);
}
