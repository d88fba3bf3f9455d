//! The device under test.

use core::ops::Deref;

use virtio_chain::ReadableChain;
use virtio_mem_traits::StableMem;
use virtio_queue_core::{AnyQueue, DriverNotify, QueueConfig};
use virtio_vm_memory::{Memory, VmMemory};

pub(crate) struct Nobody;

impl DriverNotify for Nobody {
    fn notify(&self) {}
}

pub(crate) type Queue<H> = AnyQueue<VmMemory<H>, Nobody>;

/// Makes a queue in the memory that `handle` is on.
pub(crate) fn queue<H: Clone + Deref<Target: Memory>>(config: &QueueConfig, handle: H) -> Queue<H>
where
    VmMemory<H>: StableMem,
{
    AnyQueue::new(config, VmMemory::new(handle), Nobody).unwrap()
}

/// Writes in upper case what the driver sent, for every chain that is available, and returns how many that were.
pub(crate) fn serve<H: Clone + Deref<Target: Memory>>(queue: &mut Queue<H>) -> usize
where
    VmMemory<H>: StableMem,
{
    let mut burst = queue.burst();
    let mut served = 0;
    while let Some(chain) = burst.next_chain().unwrap() {
        let mut buf = [0; 64];
        let mut request = ReadableChain::new(chain);
        let len = request.read(&mut buf).unwrap();
        buf.make_ascii_uppercase();
        request.into_writable().unwrap().write_all(&buf[..len]).unwrap();
        served += 1;
    }
    served
}
