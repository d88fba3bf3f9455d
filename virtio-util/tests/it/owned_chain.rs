//! `OwnedChain`.

use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use static_assertions::{assert_impl_all, assert_not_impl_any, const_assert};
use virtio_fake_driver::DriverChain;
use virtio_mem_traits::HeapMem;
use virtio_queue_core::{ChainElements, ChainErrorKind, ReturnError};
use virtio_util::OwnedChain;

use crate::rig::{FORMATS, Rig, Shared, answer, byte_of, slots};
use crate::watchdog::Watchdog;

assert_impl_all!(OwnedChain<Arc<HeapMem>>: Send, Sync, Unpin);
assert_impl_all!(OwnedChain<Rc<HeapMem>>: Unpin);
assert_not_impl_any!(OwnedChain<Rc<HeapMem>>: Send, Sync);
// More is moved by a call rather than in place.
const_assert!(size_of::<OwnedChain<Arc<HeapMem>>>() <= 128);

fn is_static(_: &(impl Send + Sync + 'static)) {}

/// A kept chain has the id of the chain, also for code that takes any chain, and shows it.
#[test]
fn id_is_that_of_the_chain() {
    fn id(chain: &impl ChainElements) -> u16 {
        chain.id()
    }
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let ids = [(); 3].map(|()| rig.driver.add(&DriverChain::new().writable(1)).unwrap());
        let chains = [(); 3].map(|()| rig.queue.next_chain().unwrap().unwrap());
        assert_eq!(chains.each_ref().map(|chain| (chain.id(), id(chain))), ids.map(|id| (id, id)));
        assert_eq!(format!("{:?}", chains[2]), format!("OwnedChain {{ id: {}, elements: 1, .. }}", ids[2]));
    }
}

/// KEEP-1
#[test]
fn chains_returned_in_any_order_are_used_in_that_order() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let [first, second, third] = [1, 2, 3].map(|byte| rig.fetch(byte));
        is_static(&first);
        answer(third);
        answer(first);
        answer(second);
        assert_eq!(rig.used(), [(3, 1), (1, 1), (2, 1)]);
        assert_eq!((rig.queue.in_flight(), rig.notifications.count()), (0, 3));
    }
}

/// KEEP-1
#[test]
fn chain_kept_while_the_ring_goes_round_reads_the_same() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let kept = rig.fetch(42);
        let elements: Vec<_> = kept.walk().collect();
        for byte in 0..100 {
            let other = rig.fetch(byte);
            answer(other);
            assert_eq!(rig.used(), [(byte, 1)]);
        }
        assert_eq!((kept.walk().collect::<Vec<_>>(), byte_of(&kept)), (elements, 42));
        answer(kept);
        assert_eq!(rig.used(), [(42, 1)]);
    }
}

/// KEEP-1
#[test]
fn descriptors_changed_after_the_fetch_change_nothing() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let chain = rig.fetch(7);
        let elements: Vec<_> = chain.walk().collect();
        let area = rig.driver.area_addresses()[0];
        rig.driver.view().poke(area, &[0xff; 16 * 16]);
        assert_eq!(chain.walk().collect::<Vec<_>>(), elements);
        chain.return_written(8).unwrap();
    }
}

#[test]
fn chain_of_any_length_has_all_its_elements() {
    for format in FORMATS {
        for len in [1, 3, 4, 5, 16] {
            let mut rig = Rig::new(format);
            rig.driver.add(&DriverChain::new().writable_cut(len, &vec![1; len as usize - 1])).unwrap();
            let chain = rig.queue.next_chain().unwrap().unwrap();
            let count = u32::try_from(chain.walk().filter_map(Result::ok).count()).unwrap();
            assert_eq!(count, len);
            chain.return_written(len).unwrap();
        }
    }
}

/// DRV-FRM-1, INV-12
#[test]
fn malformed_chain_has_its_good_elements_and_then_the_error() {
    for format in FORMATS {
        for good in [1, 4, 6] {
            let mut rig = Rig::new(format);
            let chain = DriverChain::new().writable_cut(good, &vec![1; good as usize - 1]).readable([1]);
            let id = rig.driver.stage_unchecked(&chain).unwrap();
            rig.driver.publish();
            let chain = rig.queue.next_chain().unwrap().unwrap();
            let mut items: Vec<_> = chain.walk().collect();
            let error = items.pop().unwrap().unwrap_err();
            assert!(matches!(error.kind, ChainErrorKind::ReadableAfterWritable { .. }));
            assert_eq!((error.id, chain.id()), (id, id));
            assert!(items.len() == good as usize && items.iter().all(Result::is_ok));
            chain.return_written(good).unwrap();
        }
    }
}

#[test]
fn place_at_the_end_stays_there() {
    let mut rig = Rig::new(0);
    let chain = rig.fetch(1);
    let mut place = chain.start();
    while chain.next_element(&mut place).is_some() {}
    assert_eq!((place, chain.next_element(&mut place)), (2, None));
    place = usize::MAX;
    assert_eq!(chain.next_element(&mut place), None);
}

/// SPLIT-USED-10
#[test]
fn return_written_of_too_much_keeps_the_chain() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let chain = rig.fetch(1);
        let refused = chain.try_return_written(9).unwrap_err();
        assert_eq!(refused.error, ReturnError::TooLong { written: 9, writable: 8 });
        assert_eq!((rig.used(), rig.queue.in_flight()), (vec![], slots(format)));
        answer(refused.chain);
        assert_eq!(rig.used(), [(1, 1)]);

        let chain = rig.fetch(2);
        assert_eq!(chain.return_written(9), Err(ReturnError::TooLong { written: 9, writable: 8 }));
        assert_eq!(rig.used(), [(0, 0)]);
    }
}

/// BACK-1
#[test]
fn chain_put_back_is_fetched_again() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let (first, second) = (rig.fetch(1), rig.fetch(2));
        let refused = first.try_unfetch().unwrap_err();
        assert!(matches!(refused.error, ReturnError::NotLast { .. }));
        second.unfetch().unwrap();
        refused.chain.unfetch().unwrap();
        assert_eq!(rig.queue.in_flight(), 0);
        for byte in [1, 2] {
            let chain = rig.queue.next_chain().unwrap().unwrap();
            assert_eq!(byte_of(&chain), byte);
            answer(chain);
        }
        assert_eq!(rig.used(), [(1, 1), (2, 1)]);
    }
}

/// KEEP-2
#[test]
fn chain_of_a_worker_that_panics_is_returned_once_with_nothing_written() {
    let _watchdog = Watchdog::new();
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let chain = rig.fetch(1);
        let worker = thread::spawn(move || {
            assert_eq!(byte_of(&chain), 2, "this panic is part of the test");
        });
        worker.join().unwrap_err();
        assert_eq!((rig.used(), rig.queue.in_flight()), (vec![(0, 0)], 0));
        let chain = rig.fetch(3);
        answer(chain);
        assert_eq!(rig.used(), [(3, 1)]);
    }
}

/// KEEP-3, INV-4, INV-11
#[test]
fn last_chain_dropped_on_another_thread_is_seen_without_a_kick() {
    let _watchdog = Watchdog::new();
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let chain = rig.fetch(1);
        // The owner sleeps, and nobody wakes it.
        let owner = thread::spawn({
            let queue = rig.queue.clone();
            move || queue.wait_chain()
        });
        thread::spawn(|| drop(chain)).join().unwrap();
        assert_eq!((rig.used(), rig.notifications.count()), (vec![(0, 0)], 1));
        rig.queue.reset();
        assert!(owner.join().unwrap().unwrap().is_none());
    }
}

/// KEEP-5, INV-3, INV-4
#[test]
fn chain_of_a_broken_queue_is_refused_once_and_leaves_nothing_behind() {
    let _watchdog = Watchdog::new();
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let (dropped, returned) = (rig.fetch(1), rig.fetch(2));
        rig.break_queue();
        let error = rig.queue.next_chain().unwrap_err();
        assert_eq!(returned.return_written(1), Err(ReturnError::Broken(error)));
        drop(dropped);
        assert_eq!((rig.queue.in_flight(), rig.notifications.count()), (0, 0));
        rig.queue.drain();
        let Rig { queue, driver, mem, .. } = rig;
        drop((queue, driver));
        assert_eq!(Arc::strong_count(&mem), 1, "nothing is left that has a handle on the memory");
    }
}

/// KEEP-5, QRST-8
#[test]
fn chain_returned_after_a_reset_and_a_new_queue_is_refused() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let stale = [rig.fetch(1), rig.fetch(2)];
        let id = stale[0].id();
        rig.queue.reset();
        let (queue, new) = Rig::unshared(format);
        let mut new = new(Shared::new(queue));
        let fresh = new.fetch(3);
        let [returned, dropped] = stale;
        assert_eq!(returned.return_written(1), Err(ReturnError::Stale { id }));
        assert_eq!((rig.queue.in_flight(), new.queue.in_flight()), (slots(format), slots(format)));
        drop(dropped);
        assert_eq!((rig.used(), rig.queue.in_flight()), (vec![], 0));
        answer(fresh);
        assert_eq!(new.used(), [(3, 1)]);
    }
}
