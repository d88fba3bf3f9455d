//! A disk on io_uring with its driver, in one thread.

use std::sync::{Arc, Weak};

use virtio_examples::blk::uring::UringDisk;
use virtio_examples::blk::{BlockDevice, DeviceId, Storage};
use virtio_fake_driver::{AnyDriver, AnyFixtureOptions, DriverChain, UsedBuffer, features};
use virtio_mem_traits::HeapMem;
use virtio_util::{NotificationCounter, SharedAnyQueue, SharedQueue};

use crate::vhost_user::wait_readable;

/// The features of a driver in each format.
pub(crate) const FORMATS: [u64; 2] = [features::INDIRECT_DESC, features::RING_PACKED | features::EVENT_IDX];

pub(crate) fn id() -> DeviceId {
    DeviceId::new("disk-0").unwrap()
}

pub(crate) struct Rig<S> {
    pub(crate) disk: UringDisk<S, Arc<HeapMem>>,
    pub(crate) queue: SharedAnyQueue<Arc<HeapMem>, Arc<NotificationCounter>>,
    pub(crate) driver: AnyDriver,
    pub(crate) mem: Weak<HeapMem>,
}

impl<S: Storage> Rig<S> {
    pub(crate) fn new(storage: S, features: u64, depth: usize) -> Self {
        Self::with_device(BlockDevice::new(storage, id()), features, depth)
    }

    pub(crate) fn with_device(device: BlockDevice<S>, features: u64, depth: usize) -> Self {
        Self::with_disk(UringDisk::new(device, depth).unwrap(), features)
    }

    /// Returns one that answers in order.
    pub(crate) fn in_order(device: BlockDevice<S>, features: u64, depth: usize) -> Self {
        Self::with_disk(UringDisk::new(device, depth).unwrap().in_order(), features)
    }

    fn with_disk(disk: UringDisk<S, Arc<HeapMem>>, features: u64) -> Self {
        let options = AnyFixtureOptions { size: 512, features, memory_len: 4 << 20, ..Default::default() };
        let fixture = options.build_plain().unwrap();
        let (mem, queue) = (Arc::downgrade(&fixture.mem), SharedQueue::new(fixture.queue));
        Self { disk, queue, driver: fixture.driver, mem }
    }

    pub(crate) fn add(&mut self, chain: &DriverChain) {
        self.driver.add(chain).unwrap();
    }

    /// Takes what is available, as far as there is room.
    pub(crate) fn take(&mut self) {
        while self.disk.has_room() {
            let Some(chain) = self.queue.next_chain().unwrap() else { return };
            self.disk.take(chain);
        }
    }

    /// Serves what is available and what has ended, without waiting.
    pub(crate) fn serve(&mut self) {
        loop {
            self.take();
            if self.disk.turn().unwrap().ended == 0 {
                return;
            }
        }
    }

    /// Serves until so many requests have been answered, and returns them.
    #[track_caller]
    pub(crate) fn finish(&mut self, count: usize) -> Vec<UsedBuffer> {
        let mut used = Vec::new();
        loop {
            self.serve();
            used.extend(self.driver.reap_all().unwrap());
            if used.len() >= count {
                assert_eq!(used.len(), count);
                return used;
            }
            wait_readable(&**self.disk.event(), "the kernel");
        }
    }
}
