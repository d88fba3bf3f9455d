//! Rings that keep the order.

use std::sync::Arc;

use loom::thread;
use loom_models::{Device, Rig, check_with};
use virtio_fake_driver::features::IN_ORDER;
use virtio_mem_traits::HeapMem;
use virtio_queue_core::{AnyRing, OrderSlot, OrderedRing};

use crate::support::serve;

type Ordered = OrderedRing<AnyRing<Arc<HeapMem>>, [OrderSlot; 4]>;

/// SPLIT-ORD-5, PACK-INO-3, BAR-3, BAR-7: what was held back is published with the chain that it waited for, and the
/// interrupt for it is not lost.
#[test]
fn completing_out_of_order_against_enabling_loses_no_interrupt() {
    check_with(IN_ORDER, |mut rig: Rig| {
        let mut queue: Device<Ordered> = rig.device_on();
        rig.stage(0);
        rig.stage(1);
        rig.driver.publish();
        let first = queue.next_chain().unwrap().unwrap().into_token();
        serve(queue.next_chain().unwrap().unwrap());
        let device = thread::spawn(move || {
            serve(queue.chain(first).unwrap());
            queue
        });
        let seen = rig.driver.enable_interrupts();
        let reaped = if seen { rig.reap() } else { 0 };
        let _queue = device.join().unwrap();
        assert!(seen || rig.interrupt.is_given(), "an interrupt was lost");
        assert_eq!(reaped + rig.reap(), 2);
    });
}
