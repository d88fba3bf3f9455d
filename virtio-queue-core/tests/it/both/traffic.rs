//! Random traffic of an honest driver, against a slow and obvious model.

use std::collections::{HashMap, VecDeque};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use virtio_fake_driver::features::RING_PACKED;
use virtio_fake_driver::{DriverChain, Fixture, FixtureOptions, QueueFormat, Traffic};
use virtio_queue_core::{Armed, Token};

use crate::support::{EVENT_IDX, RING_SETS, for_each_format, reply, serve, traffic};

/// What both sides have to agree on.
#[derive(Default)]
struct Model {
    /// Made available and not fetched, in order.
    available: VecDeque<u16>,
    /// The plans of all chains that were not reaped.
    chains: HashMap<u16, DriverChain>,
    /// Fetched and served, and not returned.
    held: Vec<(Token, u32)>,
    /// Published and not reaped, in order, with how much was written.
    used: VecDeque<(u16, u32)>,
    /// Whether the device has found nothing since it was kicked last, and has asked for a kick.
    waiting: bool,
    /// Whether the driver waits for the next used buffer.
    driver_waiting: bool,
    published: usize,
}

struct Run<F: QueueFormat> {
    fixture: Fixture<F>,
    model: Model,
    traffic: Traffic,
    rng: Xoshiro256PlusPlus,
    suppressed: bool,
}

impl<F: QueueFormat> Run<F> {
    fn new(size: u16, features: u64) -> Self {
        let seed = u64::from(size) ^ features;
        let options =
            FixtureOptions { size, features, scramble: Some(seed), memory_len: 1 << 21, ..Default::default() };
        let fixture: Fixture<F> = options.build().unwrap();
        let traffic = traffic(&fixture.driver, seed, 20, 200);
        let mut run = Self {
            fixture,
            model: Model::default(),
            traffic,
            rng: SeedableRng::seed_from_u64(seed),
            suppressed: false,
        };
        run.model.driver_waiting = true;
        run
    }

    /// The driver makes some chains available at once.
    fn add(&mut self) {
        let mut added = 0;
        for _ in 0..self.rng.random_range(1..=6) {
            let chain = self.traffic.next_chain();
            let Ok(id) = self.fixture.driver.stage(&chain) else { break };
            self.model.available.push_back(id);
            assert!(self.model.chains.insert(id, chain).is_none());
            added += 1;
        }
        self.fixture.driver.publish();
        let kicked = self.fixture.driver.needs_kick();
        if added != 0 && self.model.waiting {
            assert!(kicked, "the device waits for a kick");
            self.model.waiting = false;
        } else if added != 0 && self.suppressed && self.fixture.driver.features() & EVENT_IDX == 0 {
            assert!(!kicked, "the device does not want to be kicked");
        }
    }

    /// The device fetches some chains and serves them, and returns some of those at once, one by one.
    fn fetch(&mut self) {
        for _ in 0..self.rng.random_range(1..=6) {
            let Some(chain) = self.fixture.queue.next_chain().unwrap() else {
                assert!(self.model.available.is_empty(), "{:?} were not found", self.model.available);
                self.model.waiting = !self.suppressed;
                return;
            };
            let id = chain.id();
            assert_eq!(self.model.available.pop_front(), Some(id));
            let written = serve(&chain);
            assert_eq!(u64::from(written), self.model.chains[&id].writable_len());
            let written = self.rng.random_range(0..=written);
            if self.rng.random() {
                self.model.held.push((chain.into_token(), written));
            } else {
                chain.return_written(written).unwrap();
                self.publish(&[(id, written)]);
            }
        }
    }

    /// The device returns some of what it holds, in any order, together or one by one.
    fn complete(&mut self) {
        let count = self.rng.random_range(0..=self.model.held.len());
        let picked: Vec<_> =
            (0..count).map(|_| self.model.held.swap_remove(self.rng.random_range(0..self.model.held.len()))).collect();
        let published: Vec<_> = picked.iter().map(|(token, written)| (token.id(), *written)).collect();
        if self.rng.random() {
            let mut burst = self.fixture.queue.burst();
            for (token, written) in picked {
                burst.complete(token, written).unwrap();
            }
            burst.finish().unwrap();
            self.publish(&published);
        } else {
            for ((token, written), published) in picked.into_iter().zip(published) {
                // Through a number, as for I/O that is done elsewhere.
                self.fixture.queue.complete(Token::from_u64(token.into_u64()), written).unwrap();
                self.publish(&[published]);
            }
        }
    }

    /// Takes note of what was published at once, and checks that there was one notification for it, or none.
    fn publish(&mut self, published: &[(u16, u32)]) {
        let notified = self.fixture.notifications.take();
        let expected = !published.is_empty() && self.model.driver_waiting;
        assert_eq!(notified, usize::from(expected));
        // With EVENT_IDX the driver has asked for one buffer; without it, for all.
        if expected && self.fixture.driver.features() & EVENT_IDX != 0 {
            self.model.driver_waiting = false;
        }
        self.model.used.extend(published);
        self.model.published += published.len();
    }

    /// The driver takes back everything that is used, and waits for more or does not.
    fn reap(&mut self) {
        self.fixture.driver.disable_interrupts();
        self.model.driver_waiting = false;
        while let Some(used) = self.fixture.driver.reap().unwrap() {
            assert_eq!(self.model.used.pop_front(), Some((used.id, used.len)));
            let chain = self.model.chains.remove(&used.id).unwrap();
            let whole = reply(&chain.readable_bytes(), chain.writable_len());
            assert_eq!(used.written(), &whole[..used.len as usize]);
        }
        assert!(self.model.used.is_empty(), "{:?} were not found", self.model.used);
        if self.rng.random() {
            assert!(!self.fixture.driver.enable_interrupts());
            self.model.driver_waiting = true;
        }
    }

    /// The device changes its mind about kicks.
    fn switch(&mut self) {
        self.suppressed = self.rng.random();
        self.model.waiting = false;
        if self.suppressed {
            self.fixture.queue.suppress_notifications();
        } else {
            let armed = self.fixture.queue.enable_notifications().unwrap();
            self.model.waiting = self.model.available.is_empty();
            assert_eq!(armed, if self.model.waiting { Armed::Waiting } else { Armed::MoreAvailable });
        }
    }

    fn step(&mut self) {
        match self.rng.random_range(0..10) {
            0..=2 => self.add(),
            3..=5 => self.fetch(),
            6..=7 => self.complete(),
            8 => self.reap(),
            _ => self.switch(),
        }
        assert!(!self.fixture.queue.is_broken());
        let in_flight = usize::from(self.fixture.queue.in_flight());
        let held = self.model.held.len();
        if self.fixture.driver.features() & RING_PACKED == 0 {
            assert_eq!(in_flight, held);
        } else {
            assert!((held..=self.fixture.queue.size().into()).contains(&in_flight), "a list may take several slots");
        }
    }
}

fn check_traffic<F: QueueFormat>(features: u64) {
    for size in [1, 2, 8, 64, 256] {
        let mut run = Run::<F>::new(size, features);
        (0..3000).for_each(|_| run.step());
        assert!(run.model.published > 80, "{}", run.model.published);
    }
}

/// GEN-8, GEN-12, LAY-11, AMB-13, FRAME-1, FRAME-3, FRAME-4, INV-4, INV-5, EVA-15, SPLIT-AVAIL-3, SPLIT-AVAIL-6,
/// SPLIT-IND-2, SPLIT-IND-3, SPLIT-UNOT-5, SPLIT-UNOT-6, SPLIT-ANOT-6, PACK-EVT-7, PACK-EVT-9, PACK-SG-1, PACK-WRAP-8,
/// PACK-WRAP-9, PACK-USED-1, PACK-USED-2, REG-15, USER-3: everything that an honest driver and a device may do, in
/// random order, in queues of every kind: each buffer comes out once and goes back once, in order, with what was
/// written; nobody waits in vain, and the driver is told exactly when it wants to be.
#[test]
fn random_traffic_is_as_modelled() {
    for features in RING_SETS {
        for_each_format!(check_traffic(features));
    }
}
