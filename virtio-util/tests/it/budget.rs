//! How much of a driver's chains is kept at a time.

use std::sync::Arc;
use std::thread;

use allocation_counter::measure;
use virtio_fake_driver::features::{EVENT_IDX, INDIRECT_DESC, RING_PACKED};
use virtio_mem_traits::{Access, DriverAddr, DriverMem, DriverRange, HeapMem};
use virtio_queue_core::{AnyQueue, AnyRing, Armed, QueueConfig, RingFeatures};
use virtio_util::{NotificationCounter, SharedQueue};

use crate::rig::{FORMATS, Rig, answer, byte_of};
use crate::watchdog::Watchdog;

/// As many descriptors as a queue can have, and as many elements as a chain can have.
const MOST: u16 = 1 << 15;
const TABLE: u64 = 16 * MOST as u64;

/// Addresses: the ring, the Driver Area, the Device Area, and the one table that all chains share.
const RING: DriverAddr = DriverAddr(0);
const DRIVER: DriverAddr = DriverAddr(TABLE);
const DEVICE: DriverAddr = DriverAddr(TABLE + 0x2_0000);
const SHARED: DriverAddr = DriverAddr(TABLE + 0x8_0000);

/// A queue whose driver has made `MOST` chains available that are `MOST` elements long, in half a megabyte.
fn one_table_for_all(format: u64, budget: usize) -> SharedQueue<AnyRing<Arc<HeapMem>>, NotificationCounter> {
    let mem = Arc::new(HeapMem::new(RING, 1 << 21).unwrap());
    let poke = |addr: DriverAddr, bytes: &[u8]| {
        let range = DriverRange::new(addr, bytes.len() as u64).unwrap();
        mem.translate_all(range, Access::Write).unwrap().write_bytes(0, bytes).unwrap();
    };
    let descriptor = |addr: u64, len: u32, last: [u16; 2]| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&addr.to_le_bytes());
        bytes[8..12].copy_from_slice(&len.to_le_bytes());
        bytes[12..14].copy_from_slice(&last[0].to_le_bytes());
        bytes[14..].copy_from_slice(&last[1].to_le_bytes());
        bytes
    };
    let packed = format == RING_PACKED;
    for index in 0..MOST {
        let next = if index + 1 < MOST { [1 | 2, index + 1] } else { [2, 0] };
        let in_table = descriptor(8, 1, if packed { [index, 2] } else { next });
        poke(DriverAddr(SHARED.0 + 16 * u64::from(index)), &in_table);
        let in_ring = descriptor(SHARED.0, 16 << 15, if packed { [index, 4 | 1 << 7] } else { [4, 0] });
        poke(DriverAddr(RING.0 + 16 * u64::from(index)), &in_ring);
        if !packed {
            poke(DriverAddr(DRIVER.0 + 4 + 2 * u64::from(index)), &index.to_le_bytes());
        }
    }
    if !packed {
        poke(DriverAddr(DRIVER.0 + 2), &MOST.to_le_bytes());
    }
    let features = RingFeatures::from_negotiated(1 << 32 | INDIRECT_DESC | format).unwrap();
    let config = QueueConfig::new(MOST, features, RING, DRIVER, DEVICE);
    SharedQueue::with_budget(AnyQueue::new(&config, mem, NotificationCounter::new()).unwrap(), budget)
}

/// INV-9, KEEP-4
#[test]
fn heads_that_share_one_table_are_kept_up_to_the_budget() {
    for format in FORMATS {
        for (budget, fit) in [(1 << 16, 2), (3 << 15, 3), ((3 << 15) - 1, 2), (10, 1), (0, 1)] {
            let queue = one_table_for_all(format, budget);
            let mut kept: Vec<_> = core::iter::from_fn(|| queue.next_chain().unwrap()).collect();
            assert_eq!((kept.len(), queue.in_flight(), queue.is_full()), (fit, u16::try_from(fit).unwrap(), true));
            // One comes back, and there is room for one.
            for _ in 0..3 {
                let oldest = kept.remove(0);
                let id = oldest.id();
                oldest.return_written(1).unwrap();
                assert!(!queue.is_full());
                kept.push(queue.next_chain().unwrap().unwrap());
                assert!(kept.iter().all(|chain| chain.id() > id), "nothing is fetched twice");
                assert!(queue.next_chain().unwrap().is_none() && queue.is_full());
            }
        }
    }
}

/// INV-9, KEEP-4: what is kept for a driver that makes chains as long as it can has the stated number of bytes.
#[test]
fn bytes_kept_are_bounded_by_the_budget() {
    for format in FORMATS {
        for (budget, elements) in [(1 << 16, 1 << 16), (1 << 15, 1 << 15), (10, 1 << 15)] {
            let queue = one_table_for_all(format, budget);
            let mut kept = Vec::with_capacity(4);
            let taken = measure(|| {
                kept.extend(core::iter::from_fn(|| queue.next_chain().unwrap()));
                // At the limit, the next chain is looked at and put back, again and again.
                (0..10).for_each(|_| assert!(queue.next_chain().unwrap().is_none()));
            });
            assert!((24 * elements..=48 * elements + 1024).contains(&taken.bytes_max), "{taken:?}");
            let left = measure(|| drop(kept));
            assert!(taken.bytes_current + left.bytes_current <= 0 && left.bytes_total <= 1024, "{left:?}");
        }
    }
}

#[test]
fn each_chain_at_the_limit_is_fetched_in_its_order_and_none_is_lost() {
    for format in FORMATS {
        let mut rig = Rig::with_budget(format, 5);
        (1..=5).for_each(|byte| _ = rig.offer(byte));
        let mut kept = vec![];
        for byte in 1..=5 {
            let chain = rig.queue.next_chain().unwrap().unwrap_or_else(|| {
                answer(kept.remove(0));
                rig.queue.next_chain().unwrap().unwrap()
            });
            assert_eq!(byte_of(&chain), byte);
            kept.push(chain);
        }
        kept.into_iter().for_each(answer);
        assert_eq!(rig.used(), [1, 2, 3, 4, 5].map(|byte| (byte, 1)));
        assert_eq!(rig.queue.in_flight(), 0);
    }
}

#[test]
fn chain_put_back_by_its_holder_makes_room() {
    for format in FORMATS {
        let mut rig = Rig::with_budget(format, 2);
        let chain = rig.fetch(1);
        rig.offer(2);
        assert!(rig.queue.next_chain().unwrap().is_none() && rig.queue.is_full());
        chain.unfetch().unwrap();
        assert!(!rig.queue.is_full());
        answer(rig.queue.next_chain().unwrap().unwrap());
        assert_eq!(rig.used(), [(1, 1)]);
    }
}

#[test]
fn thread_that_waits_at_the_limit_is_woken_by_a_return() {
    let _watchdog = Watchdog::new();
    for format in FORMATS {
        for _ in 0..200 {
            let mut rig = Rig::with_budget(format, 2);
            let chain = rig.fetch(1);
            rig.offer(2);
            let waits = thread::spawn({
                let queue = rig.queue.clone();
                move || answer(queue.wait_chain().unwrap().unwrap())
            });
            drop(chain);
            waits.join().unwrap();
            assert_eq!(rig.used(), [(0, 0), (2, 1)]);
        }
    }
}

/// BACK-2, KEEP-4
#[test]
fn chain_put_back_for_want_of_room_is_more_than_the_device_has_seen() {
    for features in FORMATS.into_iter().flat_map(|format| [format, format | EVENT_IDX]) {
        let mut rig = Rig::with_budget(features, 2);
        let chain = rig.fetch(1);
        rig.offer(2);
        assert!(rig.queue.next_chain().unwrap().is_none());
        assert_eq!(rig.queue.enable_notifications_of_more(), Ok(Armed::Waiting), "a return wakes, not the driver");
        drop(chain);
        assert_eq!(rig.queue.enable_notifications_of_more(), Ok(Armed::MoreAvailable));
        // Once it was seen and put back by the device, the device waits for more.
        rig.queue.next_chain().unwrap().unwrap().unfetch().unwrap();
        assert_eq!(rig.queue.enable_notifications_of_more(), Ok(Armed::Waiting));
        assert!(rig.offer(3));
    }
}

/// BACK-2, KEEP-4
#[test]
fn chain_put_back_for_want_of_room_and_seen_in_a_burst_is_no_more() {
    for format in FORMATS {
        let mut rig = Rig::with_budget(format, 2);
        let chain = rig.fetch(1);
        rig.offer(2);
        assert!(rig.queue.next_chain().unwrap().is_none());
        drop(chain);
        rig.queue.burst(|mut burst| burst.next_chain().unwrap().unwrap().unfetch().unwrap());
        assert_eq!(rig.queue.enable_notifications_of_more(), Ok(Armed::Waiting));
    }
}
