//! What a driver does while a device is at work.

use alloc::vec::Vec;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use virtio_mem_traits::{DriverAddr, DriverRange};

/// A write of the driver.
pub(super) type Poke = (DriverAddr, Vec<u8>);

/// The actions of a driver between the accesses of a device, and the faults of its memory.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    pokes: Vec<(u64, Poke)>,
    random: Option<Random>,
    fault: Option<Fault>,
    unmap: Option<(u64, DriverRange)>,
}

/// Random writes of the driver.
#[derive(Debug)]
struct Random {
    rng: Xoshiro256PlusPlus,
    targets: Vec<DriverRange>,
}

/// A translation that fails.
#[derive(Clone, Copy, Debug)]
struct Fault {
    nth: u64,
    lasts: bool,
}

impl Schedule {
    /// Lets the driver write before the access or translation number `nth` of the next call.
    pub(super) fn poke_at(&mut self, nth: u64, poke: Poke) {
        self.pokes.push((nth, poke));
    }

    /// Lets the driver write random bytes somewhere in `targets`, before each access.
    pub(super) fn poke_randomly(&mut self, seed: u64, targets: Vec<DriverRange>) {
        self.random = Some(Random { rng: SeedableRng::seed_from_u64(seed), targets });
    }

    /// Lets the translation number `nth` of the next call fail, and all later ones if it `lasts`.
    pub(super) fn fail_translation(&mut self, nth: u64, lasts: bool) {
        self.fault = Some(Fault { nth, lasts });
    }

    /// Takes `range` away before the access or translation number `nth` of the next call.
    pub(super) fn unmap_at(&mut self, nth: u64, range: DriverRange) {
        self.unmap = Some((nth, range));
    }

    /// Returns the range that goes away before the access or translation with this number.
    pub(super) fn unmapped(&self, nth: u64) -> Option<DriverRange> {
        self.unmap.filter(|(at, _)| *at == nth).map(|(_, range)| range)
    }

    /// Returns whether the translation with this number fails.
    pub(super) fn fails(&self, translation: u64) -> bool {
        self.fault.is_some_and(|fault| translation == fault.nth || (fault.lasts && translation > fault.nth))
    }

    /// Returns the writes before the access or translation with this number.
    pub(super) fn due(&mut self, nth: u64) -> Vec<Poke> {
        let (due, later): (Vec<_>, _) = core::mem::take(&mut self.pokes).into_iter().partition(|(at, _)| *at == nth);
        self.pokes = later;
        let mut due: Vec<Poke> = due.into_iter().map(|(_, poke)| poke).collect();
        due.extend(self.random.as_mut().and_then(Random::next));
        due
    }
}

impl Random {
    fn next(&mut self) -> Option<Poke> {
        if self.rng.random_range(0..4) != 0 {
            return None;
        }
        random_poke(&mut self.rng, &self.targets)
    }
}

/// Returns a write of up to eight bytes somewhere in `targets`.
pub(super) fn random_poke(rng: &mut impl Rng, targets: &[DriverRange]) -> Option<Poke> {
    let target = targets.get(rng.random_range(0..targets.len()))?;
    let at = rng.random_range(0..target.len());
    let len = rng.random_range(1..=8).min(target.len() - at);
    // Few bits, so that a flag or a length is a plausible one now and then.
    let bytes = (0..len).map(|_| if rng.random() { rng.random() } else { 1 << rng.random_range(0..8) });
    Some((target.after(at).start(), bytes.collect()))
}
