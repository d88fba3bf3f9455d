//! What the trait of `vhost-user-backend` asks of a vring.

use virtio_fake_driver::{DriverChain, DriverOptions, SplitDriver};
use virtio_mem_traits::{DriverAddr, DriverRange};

use super::framework::adapter::{GuestMem, Queues, Vring, VringMem};
use super::framework::vhost_user_backend::VringT;
use super::framework::virtio_queue::QueueT;
use super::framework::vm_memory::{GuestAddress, GuestMemoryMmap};

fn vring() -> Vring {
    Vring::new(GuestMem::new(GuestMemoryMmap::new()), 256).unwrap()
}

#[test]
fn vring_that_is_not_started_has_no_queue() {
    let (vring, queues) = (vring(), Queues::new());
    queues.set_features(1 << 32);
    assert!(queues.queue(&vring).unwrap().is_none());
    vring.set_queue_info(0x1000, 0x2000, 0x3000).unwrap();
    vring.set_queue_ready(true);
    assert!(queues.queue(&vring).unwrap().is_none());
    vring.set_queue_ready(false);
    vring.set_enabled(true);
    assert!(queues.queue(&vring).unwrap().is_none());
    queues.serve(&vring, |_| panic!("there is no chain")).unwrap();
}

/// Methods for devices that run a `virtio_queue::Queue` touch no memory.
#[test]
fn methods_for_another_queue_are_refused() {
    let vring = vring();
    assert!(vring.add_used(0, 0).is_err());
    assert!(vring.enable_notification().is_err());
    assert!(vring.disable_notification().is_err());
    assert!(!vring.needs_notification().unwrap());
    assert_eq!(vring.queue_used_idx().unwrap(), 0);
}

#[test]
fn settings_show_what_the_handler_looks_at() {
    let vring = vring();
    vring.set_queue_ready(true);
    vring.set_enabled(true);
    vring.set_queue_next_avail(7);
    let settings = vring.get_ref();
    assert!(settings.get_queue().ready() && settings.is_enabled() && settings.get_kick().is_none());
    drop(settings);
    assert_eq!(vring.clone().queue_next_avail(), 7);
}

/// What a device keeps of a queue, for threads of its own, fetches nothing while the vring is disabled or stopped, and
/// nothing at all once the front end has the base.
#[test]
fn queue_that_is_kept_follows_its_vring() {
    let range = DriverRange::new(DriverAddr(0x1_0000), 0x1_0000).unwrap();
    let mem: GuestMem = GuestMem::new(GuestMemoryMmap::from_ranges(&[(GuestAddress(0x1_0000), 0x1_0000)]).unwrap());
    let mut driver = SplitDriver::within(VringMem::from(&mem), range, 8, DriverOptions::default());
    let (vring, queues): (Vring, Queues) = (Vring::new(mem, 8).unwrap(), Queues::new());
    let [descriptors, available, used] = driver.area_addresses().map(|addr| addr.0);
    vring.set_queue_info(descriptors, available, used).unwrap();
    vring.set_queue_ready(true);
    vring.set_enabled(true);
    queues.set_features(1 << 32);
    let queue = queues.queue(&vring).unwrap().unwrap();
    driver.add(&DriverChain::new().writable(1)).unwrap();

    vring.set_enabled(false);
    assert!(queue.next_chain().unwrap().is_none());
    vring.set_enabled(true);
    drop(queue.next_chain().unwrap().unwrap());

    driver.add(&DriverChain::new().writable(1)).unwrap();
    vring.set_queue_ready(false);
    assert!(queue.next_chain().unwrap().is_none());
    assert_eq!(vring.queue_next_avail(), 1);
    vring.set_queue_ready(true);
    assert!(queue.wait_chain().unwrap().is_none());
    drop(queues.queue(&vring).unwrap().unwrap().next_chain().unwrap().unwrap());
    assert_eq!(driver.reap_all().unwrap().len(), 2);
}

#[test]
fn misaligned_addresses_are_refused() {
    for addresses in [[0x1008, 0x2000, 0x3000], [0x1000, 0x2001, 0x3000], [0x1000, 0x2000, 0x3002]] {
        let [descriptors, available, used] = addresses;
        assert!(vring().set_queue_info(descriptors, available, used).is_err(), "{addresses:#x?}");
    }
}
