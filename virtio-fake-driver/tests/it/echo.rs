//! The driver and a real queue, which sleeps unless kicked; and so does the driver unless interrupted.

use std::collections::HashMap;
use std::rc::Rc;

use virtio_fake_driver::features::{EVENT_IDX, INDIRECT_DESC};
use virtio_fake_driver::{SplitFixture, SplitFixtureOptions, TestMem, Traffic, TrafficLimits};
use virtio_mem_traits::{Access, DriverAddr, StableMem};

use crate::device::{answer_to, serve};

/// Sends `count` random chains through, in batches of any size, and checks what each side gets of the other.
fn check<M: StableMem>(mut fixture: SplitFixture<M>, bytes: u32, count: usize) {
    let SplitFixture { queue, driver, notifications, .. } = &mut fixture;
    let indirect = driver.features() & INDIRECT_DESC != 0;
    let limits = TrafficLimits { elements: driver.size(), bytes, indirect };
    let mut traffic = Traffic::new(count as u64, limits).take(count).peekable();
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

const FEATURES: [u64; 4] = [0, EVENT_IDX, INDIRECT_DESC, EVENT_IDX | INDIRECT_DESC];

#[test]
fn random_chains_go_through_queues_of_every_kind() {
    for features in FEATURES {
        for size in [1, 2, 8, 256] {
            for scramble in [None, Some(1)] {
                let options = SplitFixtureOptions { size, features, scramble, ..Default::default() };
                check(options.build_plain().unwrap(), 300, 1500);
            }
        }
    }
}

/// SPLIT-AVAIL-2, SPLIT-USED-7
#[test]
fn indices_pass_2_to_the_16() {
    for features in [0, EVENT_IDX | INDIRECT_DESC] {
        let options = SplitFixtureOptions { size: 8, features, scramble: Some(2), ..Default::default() };
        check(options.build_plain().unwrap(), 30, 70_000);
    }
}

/// LAY-4, LAY-5, SPLIT-DESC-3, SPLIT-AVAIL-1
#[test]
fn random_chains_go_through_memory_in_pieces_with_the_least_rights() {
    for features in FEATURES {
        let options = SplitFixtureOptions { size: 8, features, scramble: Some(3), ..Default::default() };
        let fixture = options.build_on(|heap, driver| {
            let (mem, areas) = (Rc::new(TestMem::new(heap)), driver.areas());
            mem.restrict(areas.descriptors(), Access::Read);
            mem.restrict(areas.available_ring(), Access::Read);
            mem.restrict(areas.used_ring(), Access::Write);
            for offset in (0..0x400).step_by(13 * 4) {
                mem.split_at(DriverAddr(mem.view().mem().range().start().0 + offset));
            }
            mem
        });
        check(fixture.unwrap(), 200, 500);
    }
}
