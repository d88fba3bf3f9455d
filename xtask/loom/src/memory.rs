//! The words that a device and its driver share.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::sync::atomic::{AtomicU64, fence};
use virtio_mem_traits::model::{Model, Site};

use crate::weakening;

/// Words of loom's, by the address where they lie for the host.
struct Words;

/// A word that both sides access as a whole, or that one of them accesses in part.
#[derive(Clone)]
struct Word {
    addr: usize,
    size: usize,
    value: Arc<AtomicU64>,
    turn: Arc<AtomicU64>,
}

thread_local! {
    /// All threads of a model are one thread of the operating system, and each test has another one.
    static WORDS: RefCell<BTreeMap<usize, Word>> = const { RefCell::new(BTreeMap::new()) };
}

/// Begins an execution without words.
pub(crate) fn begin() {
    virtio_mem_traits::model::install(&Words);
    WORDS.take();
}

/// Makes a word of `size` bytes at `addr` a shared one that holds `value`.
pub(crate) fn share(addr: usize, size: usize, value: u64) {
    let atomic = |value| Arc::new(AtomicU64::new(value));
    let word = Word { addr, size, value: atomic(value), turn: atomic(0) };
    WORDS.with_borrow_mut(|words| words.insert(addr, word));
}

/// Returns the shared word that has the bytes from `addr` on.
fn find(addr: usize) -> Option<Word> {
    let found = WORDS.with_borrow(|words| words.range(..=addr).next_back().map(|(_, word)| word.clone()));
    found.filter(|word| addr < word.addr + word.size)
}

/// Returns the lowest `size` bytes of a word.
fn mask(size: usize) -> u64 {
    u64::MAX >> (64 - 8 * size)
}

impl Word {
    /// Lets loom try both orders of this access and of any other to the same word.
    ///
    /// By itself, loom 0.7 compares an access with the last one only: a store of a thread that has just loaded the same
    /// word hides the loads that others made before. Relaxed, this orders nothing else.
    fn take_turn(&self) {
        self.turn.fetch_add(0, Ordering::Relaxed);
    }

    /// Stores the `size` bytes at `addr`. A part is put into the word at once: no other store comes between.
    fn store(&self, addr: usize, size: usize, value: u64, order: Ordering) {
        self.take_turn();
        if size == self.size {
            return self.value.store(value, order);
        }
        let shift = 8 * (addr - self.addr);
        let merge = |old| Some(old & !(mask(size) << shift) | value << shift);
        let _ = self.value.fetch_update(order, Ordering::Relaxed, merge);
    }

    /// Loads the `size` bytes at `addr`.
    fn load(&self, addr: usize, size: usize, order: Ordering) -> u64 {
        assert!(addr + size <= self.addr + self.size, "an access to two words at once");
        self.take_turn();
        self.value.load(order) >> (8 * (addr - self.addr)) & mask(size)
    }

    /// Returns how many of the `len` bytes at `addr` are in this word.
    fn part(&self, addr: usize, len: usize) -> usize {
        len.min(self.addr + self.size - addr)
    }
}

impl Model for Words {
    fn load(&self, addr: usize, size: usize, order: Ordering, site: Site) -> Option<u64> {
        Some(find(addr)?.load(addr, size, weakening::of_access(order, site)))
    }

    fn store(&self, addr: usize, size: usize, value: u64, order: Ordering, site: Site) -> bool {
        let Some(word) = find(addr) else { return false };
        word.store(addr, size, value, weakening::of_access(order, site));
        true
    }

    fn read(&self, mut addr: usize, mut bytes: &mut [u8]) -> bool {
        let mut shared = false;
        while let Some(word) = find(addr).filter(|_| !bytes.is_empty()) {
            let (part, rest) = bytes.split_at_mut(word.part(addr, bytes.len()));
            let value = word.load(addr, part.len(), Ordering::Relaxed).to_le_bytes();
            part.copy_from_slice(&value[..part.len()]);
            (addr, bytes, shared) = (addr + part.len(), rest, true);
        }
        assert!(!shared || bytes.is_empty(), "bytes that are shared in part");
        shared
    }

    fn write(&self, mut addr: usize, mut bytes: &[u8]) -> bool {
        let mut shared = false;
        while let Some(word) = find(addr).filter(|_| !bytes.is_empty()) {
            let (part, rest) = bytes.split_at(word.part(addr, bytes.len()));
            let mut value = [0; 8];
            value[..part.len()].copy_from_slice(part);
            word.store(addr, part.len(), u64::from_le_bytes(value), Ordering::Relaxed);
            (addr, bytes, shared) = (addr + part.len(), rest, true);
        }
        assert!(!shared || bytes.is_empty(), "bytes that are shared in part");
        shared
    }

    fn fence(&self, order: Ordering, site: Site) {
        if let Some(order) = weakening::of_fence(order, site) {
            fence(order);
        }
    }
}
