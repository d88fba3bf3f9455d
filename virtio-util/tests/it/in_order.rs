//! Owned chains on rings that keep the order.

use std::sync::Arc;

use virtio_fake_driver::features::IN_ORDER;
use virtio_fake_driver::{AnyDriver, DriverOptions};
use virtio_mem_traits::{DriverAddr, HeapMem};
use virtio_queue_core::{AnyRing, InOrderRing, OrderSlot, Queue, QueueLimits};
use virtio_util::{NotificationCounter, SharedQueue};

use crate::rig::{FORMATS, answer, byte_of, offer, used};

/// SPLIT-ORD-1
#[test]
fn chains_returned_out_of_order_are_used_in_order() {
    for format in FORMATS {
        let mem = Arc::new(HeapMem::new(DriverAddr(0x1000_0000), 1 << 18).unwrap());
        let options = DriverOptions { features: format | IN_ORDER, ..Default::default() };
        let mut driver = AnyDriver::new(Arc::clone(&mem), 16, options);
        let config = driver.queue_config(QueueLimits::default());
        let queue: Queue<InOrderRing<AnyRing<_>, Vec<OrderSlot>>, _> =
            Queue::new(&config, mem, NotificationCounter::new()).unwrap();
        let queue = SharedQueue::with_budget(queue, 6);
        for _ in 0..20 {
            (1..=4).for_each(|byte| _ = offer(&mut driver, byte));
            let [first, second, third] = [(); 3].map(|()| queue.next_chain().unwrap().unwrap());
            assert!(queue.next_chain().unwrap().is_none() && queue.is_full(), "the fourth is put back");
            answer(third);
            answer(second);
            assert_eq!(used(&mut driver), []);
            let fourth = queue.next_chain().unwrap().unwrap();
            assert_eq!(byte_of(&fourth), 4);
            drop(fourth);
            answer(first);
            let reports = used(&mut driver);
            assert_eq!(reports.len(), 4);
            assert_eq!((reports[0], reports[3]), ((1, 1), (0, 0)));
            assert_eq!(queue.in_flight(), 0);
        }
    }
}
