//! A shared queue of either format, with its driver.

use std::sync::Arc;

use virtio_fake_driver::features::{INDIRECT_DESC, RING_PACKED};
use virtio_fake_driver::{AnyDriver, AnyFixtureOptions, AnyRaw, DriverChain};
use virtio_mem_traits::{DriverMem, HeapMem};
use virtio_queue_core::{AnyQueue, ChainElements};
use virtio_util::{DEFAULT_BUDGET, NotificationCounter, OwnedChain, SharedAnyQueue, SharedQueue};

/// The features of each format.
pub(crate) const FORMATS: [u64; 2] = [0, RING_PACKED];

/// Flags of a packed descriptor, in the first round.
const NEXT: u16 = 1;
const AVAIL: u16 = 1 << 7;

pub(crate) type Mem = Arc<HeapMem>;
pub(crate) type Shared = SharedAnyQueue<Mem, Arc<NotificationCounter>>;
pub(crate) type Owned = OwnedChain<Mem>;

pub(crate) struct Rig {
    pub(crate) queue: Shared,
    pub(crate) driver: AnyDriver,
    pub(crate) notifications: Arc<NotificationCounter>,
    pub(crate) mem: Mem,
}

impl Rig {
    /// A queue of 16 with these features and the default budget.
    pub(crate) fn new(features: u64) -> Self {
        Self::with_budget(features, DEFAULT_BUDGET)
    }

    pub(crate) fn with_budget(features: u64, budget: usize) -> Self {
        let (queue, rig) = Self::unshared(features);
        rig(SharedQueue::with_budget(queue, budget))
    }

    /// A queue that is not shared yet, and the rest.
    pub(crate) fn unshared(features: u64) -> (AnyQueue<Mem, Arc<NotificationCounter>>, impl FnOnce(Shared) -> Self) {
        let options = AnyFixtureOptions { features: features | INDIRECT_DESC, size: 16, ..Default::default() };
        let fixture = options.build_plain().unwrap();
        let (driver, notifications, mem) = (fixture.driver, fixture.notifications, fixture.mem);
        (fixture.queue, |queue| Self { queue, driver, notifications, mem })
    }

    /// Makes a chain available that says `byte` and has room for eight, and returns whether the device wants a kick.
    pub(crate) fn offer(&mut self, byte: u8) -> bool {
        offer(&mut self.driver, byte)
    }

    /// Makes such a chain available, and fetches it.
    pub(crate) fn fetch(&mut self, byte: u8) -> Owned {
        self.offer(byte);
        self.queue.next_chain().unwrap().unwrap()
    }

    /// Makes the ring senseless: more is available than there is room for.
    pub(crate) fn break_queue(&mut self) {
        match self.driver.raw() {
            AnyRaw::Split(raw) => raw.set_available_index(raw.available_index().wrapping_add(1_000)),
            AnyRaw::Packed(raw) => (0..16).for_each(|slot| raw.set_flags(slot, AVAIL | NEXT)),
        }
    }

    /// Takes back what was used: what the chains said, and how much was written.
    pub(crate) fn used(&mut self) -> Vec<(u8, u32)> {
        used(&mut self.driver)
    }
}

/// How many slots such a chain takes.
pub(crate) fn slots(features: u64) -> u16 {
    if features & RING_PACKED == 0 { 1 } else { 2 }
}

/// Makes a chain available that says `byte` and has room for eight, and returns whether the device wants a kick.
pub(crate) fn offer(driver: &mut AnyDriver, byte: u8) -> bool {
    driver.add(&DriverChain::new().readable([byte]).writable(8)).unwrap();
    driver.needs_kick()
}

/// Takes back what was used: the first byte that was written, which a device copies from what the chain said.
pub(crate) fn used(driver: &mut AnyDriver) -> Vec<(u8, u32)> {
    driver.reap_all().unwrap().iter().map(|used| (*used.written().first().unwrap_or(&0), used.len)).collect()
}

/// Reads what a chain says.
pub(crate) fn byte_of(chain: &impl ChainElements) -> u8 {
    let element = chain.next_element(&mut chain.start()).unwrap().unwrap();
    chain.mem().translate_all(element.range, element.access).unwrap().read(0).unwrap()
}

/// Does a request: copies what it says into what is writable.
pub(crate) fn echo(chain: &impl ChainElements) -> u32 {
    let (byte, mut place) = (byte_of(chain), chain.start());
    let _said = chain.next_element(&mut place).unwrap().unwrap();
    let element = chain.next_element(&mut place).unwrap().unwrap();
    chain.mem().translate_all(element.range, element.access).unwrap().write(0, &byte).unwrap();
    chain.mem().written(element.range);
    1
}

/// Does a request, and returns it.
pub(crate) fn answer(chain: Owned) {
    let written = echo(&chain);
    chain.return_written(written).unwrap();
}
