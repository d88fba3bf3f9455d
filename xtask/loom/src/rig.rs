//! A queue and its driver, in memory that they share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use virtio_fake_driver::features::{EVENT_IDX, RING_PACKED};
use virtio_fake_driver::{AnyDriver, DriverChain, DriverOptions, UsedBuffer};
use virtio_mem_traits::{Access, DriverAddr, DriverMem, DriverRange, HeapMem};
use virtio_queue_core::{AnyRing, DriverNotify, FromConfig, Queue, QueueConfig, QueueLimits, Ring};

use crate::{memory, weakening};

/// The features of all rings that are modelled.
pub const FORMATS: [u64; 4] = [0, EVENT_IDX, RING_PACKED, RING_PACKED | EVENT_IDX];

/// The number of descriptors: room for two chains.
const SIZE: u16 = 4;

/// Where the driver's memory begins.
const BASE: DriverAddr = DriverAddr(0x1_0000);

/// Where the elements of chains are: behind what the driver allots.
const ELEMENTS: DriverAddr = DriverAddr(BASE.0 + 0x1000);

/// The size of an element.
const LEN: u32 = 4;

/// Runs a model with every ring, and each time with all that can happen.
pub fn check(model: impl Fn(Rig) + Copy + Send + Sync + 'static) {
    check_with(0, model);
}

/// Runs a model with every ring and these features.
pub fn check_with(more: u64, model: impl Fn(Rig) + Copy + Send + Sync + 'static) {
    for features in FORMATS {
        loom::model(move || {
            memory::begin();
            model(Rig::new(features | more));
        });
    }
    weakening::report();
}

/// A signal, to the driver or to a task.
#[derive(Clone, Debug, Default)]
pub struct Signal(Arc<AtomicUsize>);

impl Signal {
    /// Returns whether it was given.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.count() != 0
    }

    /// Returns how often it was given. No model looks while others run: this is no word of loom's.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Gives it.
    pub fn give(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl DriverNotify for Signal {
    fn notify(&self) {
        self.give();
    }
}

/// A device's queue.
pub type Device<R = AnyRing<Arc<HeapMem>>> = Queue<R, Signal>;

/// A driver, and what a device needs to know.
#[derive(Debug)]
pub struct Rig {
    /// The driver, which has interrupts off.
    pub driver: AnyDriver,
    /// The interrupts.
    pub interrupt: Signal,
    mem: Arc<HeapMem>,
}

impl Rig {
    fn new(features: u64) -> Self {
        let mem = Arc::new(HeapMem::new(BASE, 0x2000).expect("there is as much memory"));
        let range = mem.range().prefix(ELEMENTS.0 - BASE.0);
        let options = DriverOptions { features, ..DriverOptions::default() };
        let mut driver = AnyDriver::within(Arc::clone(&mem), range, SIZE, options);
        driver.disable_interrupts();
        let rig = Self { driver, interrupt: Signal::default(), mem };
        rig.share_areas();
        for element in 0..4 {
            rig.share(DriverAddr(ELEMENTS.0 + 4 * element), 4, 1);
        }
        rig
    }

    /// Shares the areas of the queue, field by field.
    fn share_areas(&self) {
        let [descriptors, driver, device] = self.driver.area_addresses();
        let size = usize::from(SIZE);
        self.share(descriptors, 8, 2 * size);
        if self.driver.features() & RING_PACKED == 0 {
            self.share(driver, 2, 3 + size);
            self.share(device, 2, 2);
            self.share(DriverAddr(device.0 + 4), 4, 2 * size);
            self.share(DriverAddr(device.0 + 4 + 8 * u64::from(SIZE)), 2, 1);
        } else {
            self.share(driver, 4, 1);
            self.share(device, 4, 1);
        }
    }

    /// Shares `count` words of `size` bytes from `addr` on, as they are now.
    fn share(&self, addr: DriverAddr, size: usize, count: usize) {
        for index in 0..count {
            let addr = DriverAddr(addr.0 + (index * size) as u64);
            let range = DriverRange::new(addr, size as u64).expect("the memory is low");
            let word = self.mem.translate_all(range, Access::ReadWrite).expect("it is in memory");
            let mut value = [0; 8];
            word.read_bytes(0, &mut value[..size]).expect("it is all there");
            memory::share(word.as_ptr().addr().get(), size, u64::from_le_bytes(value));
        }
    }

    /// Returns the configuration of the queue.
    #[must_use]
    pub fn config(&self) -> QueueConfig {
        self.driver.queue_config(QueueLimits::default())
    }

    /// Returns the memory.
    #[must_use]
    pub fn mem(&self) -> Arc<HeapMem> {
        Arc::clone(&self.mem)
    }

    /// Makes a queue, which takes the ring into service.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device_on()
    }

    /// Makes a queue on a ring of any kind.
    #[must_use]
    pub fn device_on<R: FromConfig + Ring<Mem = Arc<HeapMem>>>(&self) -> Device<R> {
        Queue::new(&self.config(), self.mem(), self.interrupt.clone()).expect("the driver is honest")
    }

    /// Begins anew with a driver that has reset the queue, in the same memory.
    #[must_use]
    pub fn reset(self) -> Self {
        let mut driver = self.driver.reset(SIZE);
        driver.disable_interrupts();
        Self { driver, ..self }
    }

    /// Writes into the device's area what another device might have left there: a wish not to be kicked.
    pub fn forbid_kicks(&self) {
        let [_, _, device] = self.driver.area_addresses();
        let view = self.driver.view();
        if self.driver.features() & RING_PACKED == 0 {
            view.poke(device, &1_u16.to_le_bytes());
            view.poke(DriverAddr(device.0 + 4 + 8 * u64::from(SIZE)), &0x8000_u16.to_le_bytes());
        } else {
            view.poke(device, &(1_u32 << 16).to_le_bytes());
        }
    }

    /// Makes the chain with this number available: a request and room for an answer.
    pub fn add(&mut self, number: u8) {
        self.stage(number);
        self.driver.publish();
    }

    /// Prepares the chain with this number.
    pub fn stage(&mut self, number: u8) {
        let (asked, answered) = (place(2 * number), place(2 * number + 1));
        let chain = DriverChain::new().readable(request(number)).at(asked).writable(LEN).at(answered);
        self.driver.stage(&chain).expect("there is room");
    }

    /// Reads where the answer to the chain with this number is to be.
    #[must_use]
    pub fn peek_answer(&self, number: u8) -> Vec<u8> {
        self.driver.view().peek(place(2 * number + 1), LEN as usize)
    }

    /// Takes back what is used, and checks that the answers are there. Returns how many there are.
    pub fn reap(&mut self) -> usize {
        let used = self.driver.reap_all().expect("the device keeps to the rules");
        used.iter().for_each(check_answer);
        used.len()
    }
}

/// Returns where an element of a chain is.
fn place(element: u8) -> DriverAddr {
    DriverAddr(ELEMENTS.0 + u64::from(LEN) * u64::from(element))
}

/// Returns what the driver asks with the chain of this number.
#[must_use]
pub const fn request(number: u8) -> [u8; 4] {
    [b'?', number + 1, 2, 3]
}

/// Returns the answer to a request.
#[must_use]
pub const fn answer(request: [u8; 4]) -> [u8; 4] {
    let [_, number, ..] = request;
    [b'!', number, 4, 5]
}

fn check_answer(used: &UsedBuffer) {
    let [mark, number, rest @ ..] = used.written() else { panic!("no answer: {used:?}") };
    assert_eq!((*mark, rest), (b'!', &[4, 5][..]), "what the device wrote is there before the driver is told");
    assert!((1..=2).contains(number), "{used:?}");
}
