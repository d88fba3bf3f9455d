//! A process is killed after each of its stores, and so is the one after it.

use virtio_fake_driver::{Driver, DriverChain, Packed, Split};
use virtio_queue_core::Token;

use super::*;

/// Random numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A driver with its requests, each of which has a number.
struct Guest<F: Recorded> {
    mem: Mem,
    driver: Driver<F, Mem>,
    config: QueueConfig,
    base: SavedQueue,
    /// Those that were made available and not seen as used: what the driver knows each by, and its number, in order.
    outstanding: Vec<(u16, u32)>,
    added: u32,
    dice: Dice,
}

/// A process that serves them.
struct Process<F: Recorded> {
    queue: QueueOf<F>,
    /// The numbers of the requests in the order in which they must be fetched.
    expected: Vec<u32>,
    fetched: usize,
    held: Vec<Token>,
}

impl<F: Recorded> Guest<F> {
    fn new(size: u16, from: Option<u16>, seed: u64) -> Self {
        let mem = Memory::new();
        let driver = driver::<F>(&mem, size, from);
        let config = config(&driver);
        let base = start::<F>(&config, from);
        Self { mem, driver, config, base, outstanding: Vec::new(), added: 0, dice: Dice(seed) }
    }

    /// Makes a request available, if there is room for it, and returns its number.
    fn add(&mut self) -> Option<u32> {
        let number = self.added;
        let cut = 1 + self.dice.below(3) as u32;
        let chain = DriverChain::new().readable(number.to_le_bytes()).writable_cut(4, &[cut]);
        let chain = if self.dice.below(3) == 0 { chain.indirect() } else { chain };
        let id = self.driver.add(&chain).ok()?;
        self.outstanding.push((id, number));
        self.added += 1;
        Some(number)
    }

    /// Takes back what the device has used. The driver knows what is none of its own.
    fn reap(&mut self) {
        for used in self.driver.reap_all().unwrap() {
            let at = self.outstanding.iter().position(|(id, _)| *id == used.id).expect("it is outstanding");
            self.outstanding.remove(at);
        }
    }

    /// Lives a life that is killed after `stores` of its stores, or one that answers everything, and returns how many
    /// stores that took.
    fn live(&mut self, stores: Option<usize>) -> usize {
        self.reap();
        self.mem.kill_after(stores);
        let queue = resume::<F>(&self.mem, &self.config, &self.base).unwrap();
        let expected = self.outstanding.iter().map(|(_, number)| *number).collect();
        let mut process = Process::<F> { queue, expected, fetched: 0, held: Vec::new() };
        for _ in 0..16 {
            if self.mem.is_killed() {
                break;
            }
            self.reap();
            for _ in 0..self.dice.below(4) {
                process.expected.extend(self.add());
            }
            process.work(&mut self.dice, &self.mem);
        }
        if !self.mem.is_killed() {
            process.finish();
        }
        let taken = self.mem.stores.get();
        // What it held is not returned.
        core::mem::forget(process);
        if !self.mem.bury() {
            self.reap();
            assert_eq!(self.outstanding, [], "all is answered");
        }
        taken
    }
}

impl<F: Recorded> Process<F> {
    /// Fetches some, returns some in any order, puts some back, and publishes that.
    fn work(&mut self, dice: &mut Dice, mem: &Mem) {
        let mut burst = self.queue.burst();
        for _ in 0..dice.below(6) {
            let choice = dice.below(4);
            if choice == 0 && !self.held.is_empty() {
                let token = self.held.swap_remove(dice.below(self.held.len() as u64) as usize);
                burst.complete(token, 0).unwrap();
                continue;
            }
            let Some(chain) = burst.next_chain().unwrap() else { continue };
            let element = chain.walk().next().unwrap().unwrap();
            let mut number = [0; 4];
            mem.all().read_bytes(element.range.start().0 as usize, &mut number).unwrap();
            assert_eq!(Some(&u32::from_le_bytes(number)), self.expected.get(self.fetched), "the next one");
            if choice == 1 {
                chain.unfetch().unwrap();
            } else {
                self.held.push(chain.into_token());
                self.fetched += 1;
            }
        }
        burst.finish().unwrap();
    }

    /// Answers all there is.
    fn finish(&mut self) {
        let mut burst = self.queue.burst();
        while let Some(chain) = burst.next_chain().unwrap() {
            self.held.push(chain.into_token());
        }
        while let Some(token) = self.held.pop() {
            burst.complete(token, 0).unwrap();
        }
        burst.finish().unwrap();
    }
}

fn check<F: Recorded>(size: u16, from: Option<u16>) {
    for seed in 0..3 {
        let stores = Guest::<F>::new(size, from, seed).live(None);
        assert!(stores > 60, "{stores}");
        for kill in 0..stores {
            let mut guest = Guest::<F>::new(size, from, seed);
            guest.live(Some(kill));
            // More kills: of the next processes too, some of them while they read the record.
            let next = guest.dice.below(120) as usize;
            guest.live(Some(next));
            guest.live(Some(next / 3));
            guest.live(None);
        }
    }
}

/// RECORD-1, RECORD-2, RECORD-3
#[test]
fn split_process_killed_after_any_store_loses_and_doubles_nothing() {
    check::<Split>(4, None);
    check::<Split>(8, Some(0xfffd));
}

/// RECORD-1, RECORD-2, RECORD-3
#[test]
fn packed_process_killed_after_any_store_loses_and_doubles_nothing() {
    check::<Packed>(5, None);
    check::<Packed>(8, Some(0x8006));
}
