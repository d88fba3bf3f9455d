//! Which descriptors are free.

use alloc::vec::Vec;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// The free descriptors of a table, in the order in which they are taken from the end.
#[derive(Clone, Debug)]
pub(super) struct FreeList {
    free: Vec<u16>,
    /// What brings disorder, if anything does.
    rng: Option<Xoshiro256PlusPlus>,
}

impl FreeList {
    /// Makes a list of all descriptors below `size`: from 0 upwards, or scrambled by a seed.
    pub(super) fn new(size: u16, scramble: Option<u64>) -> Self {
        let mut list = Self { free: (0..size).rev().collect(), rng: scramble.map(SeedableRng::seed_from_u64) };
        if let Some(rng) = &mut list.rng {
            list.free.shuffle(rng);
        }
        list
    }

    pub(super) fn len(&self) -> usize {
        self.free.len()
    }

    /// Takes `count` descriptors. There have to be as many.
    pub(super) fn take(&mut self, count: usize) -> Vec<u16> {
        let mut taken = self.free.split_off(self.free.len() - count);
        taken.reverse();
        taken
    }

    /// Takes descriptors back: the first of them is taken first the next time, unless they are scrambled.
    pub(super) fn give_back(&mut self, descriptors: &[u16]) {
        for descriptor in descriptors.iter().rev() {
            self.free.push(*descriptor);
            if let Some(rng) = &mut self.rng {
                let last = self.free.len() - 1;
                self.free.swap(last, rng.random_range(0..=last));
            }
        }
    }

    /// Returns the order in which the entries of an indirect table are linked. It begins with 0 (SPLIT-IND-3).
    pub(super) fn table_order(&mut self, entries: u16) -> Vec<u16> {
        let mut order: Vec<u16> = (0..entries).collect();
        if let (Some(rng), Some((_, rest))) = (&mut self.rng, order.split_first_mut()) {
            rest.shuffle(rng);
        }
        order
    }
}
