//! What the trait of `vhost-user-backend` asks of a vring.

use vhost_user_backend::VringT;
use virtio_queue::QueueT;
use virtio_vhost_user_backend::{GuestMem, Queues, Vring};
use vm_memory::GuestMemoryMmap;

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

#[test]
fn misaligned_addresses_are_refused() {
    for addresses in [[0x1008, 0x2000, 0x3000], [0x1000, 0x2001, 0x3000], [0x1000, 0x2000, 0x3002]] {
        let [descriptors, available, used] = addresses;
        assert!(vring().set_queue_info(descriptors, available, used).is_err(), "{addresses:#x?}");
    }
}
