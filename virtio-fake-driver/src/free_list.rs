//! Lists of free descriptors and free Buffer IDs.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// The free descriptors of a table, or the free Buffer IDs, in the order in which they are taken.
#[derive(Clone, Debug)]
pub(crate) struct FreeList {
    free: VecDeque<u16>,
    reuse: Reuse,
}

/// When a number that comes back is taken again.
#[derive(Clone, Debug)]
enum Reuse {
    /// Before all other numbers.
    First,
    /// After all other numbers.
    Last,
    /// At a random time.
    Random(Xoshiro256PlusPlus),
}

impl FreeList {
    /// Makes a list of all numbers below `size`, from 0 upwards or in the random order of a seed.
    pub(crate) fn new(size: u16, scramble: Option<u64>) -> Self {
        let reuse = scramble.map_or(Reuse::First, |seed| Reuse::Random(SeedableRng::seed_from_u64(seed)));
        let mut list = Self { free: (0..size).collect(), reuse };
        if let Reuse::Random(rng) = &mut list.reuse {
            list.free.make_contiguous().shuffle(rng);
        }
        list
    }

    /// Makes a list that returns the numbers below `size` in a circle, if they come back in the same order.
    pub(crate) fn circle(size: u16) -> Self {
        Self { free: (0..size).collect(), reuse: Reuse::Last }
    }

    /// Takes `count` numbers. The list must have so many.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u16> {
        self.free.drain(..count).collect()
    }

    /// Puts numbers back into the list.
    pub(crate) fn give_back(&mut self, numbers: &[u16]) {
        if let Reuse::Last = self.reuse {
            self.free.extend(numbers);
            return;
        }
        for number in numbers.iter().rev() {
            self.free.push_front(*number);
            if let Reuse::Random(rng) = &mut self.reuse {
                self.free.swap(0, rng.random_range(0..self.free.len()));
            }
        }
    }

    /// Returns the order in which the entries of an indirect table are linked. It begins with 0 (SPLIT-IND-3).
    pub(crate) fn table_order(&mut self, entries: u16) -> Vec<u16> {
        let mut order: Vec<u16> = (0..entries).collect();
        if let (Reuse::Random(rng), Some((_, rest))) = (&mut self.reuse, order.split_first_mut()) {
            rest.shuffle(rng);
        }
        order
    }
}
