//! The door for a model checker, in a build with `--cfg virtio_loom`: it takes the place of memory and of fences.
//!
//! The crates do not know which checker that is, and depend on none. What a [`Model`] does not want goes to memory.

use core::panic::Location;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use std::sync::OnceLock;

use crate::copy::memory;

/// Where an access or a fence stands in the source.
pub type Site = &'static Location<'static>;

/// What a model checker does instead of the accesses and the fences of these crates.
///
/// Addresses are those of the host. Values are in memory order.
pub trait Model: Sync {
    /// Loads the `size` bytes of a word, if the model has them.
    fn load(&self, addr: usize, size: usize, order: Ordering, site: Site) -> Option<u64>;

    /// Stores the `size` bytes of a word, and returns whether the model has them.
    fn store(&self, addr: usize, size: usize, value: u64, order: Ordering, site: Site) -> bool;

    /// Copies bytes out of the model, and returns whether it has them.
    fn read(&self, addr: usize, bytes: &mut [u8]) -> bool;

    /// Copies bytes into the model, and returns whether it has them.
    fn write(&self, addr: usize, bytes: &[u8]) -> bool;

    /// Does what a fence does.
    fn fence(&self, order: Ordering, site: Site);
}

static MODEL: OnceLock<&'static dyn Model> = OnceLock::new();

/// Puts a model in place of memory and of fences, unless there is one.
pub fn install(model: &'static dyn Model) {
    MODEL.get_or_init(|| model);
}

/// Separates accesses, as [`core::sync::atomic::fence`] does.
#[track_caller]
pub fn fence(order: Ordering) {
    match MODEL.get() {
        Some(model) => model.fence(order, Location::caller()),
        None => core::sync::atomic::fence(order),
    }
}

/// Loads the word at `ptr`, if there is a model that has it.
#[track_caller]
pub(crate) fn load<W>(ptr: NonNull<W>, order: Ordering) -> Option<u64> {
    MODEL.get()?.load(ptr.addr().get(), size_of::<W>(), order, Location::caller())
}

/// Stores the word at `ptr`, and returns whether there is a model that has it.
#[track_caller]
pub(crate) fn store<W>(ptr: NonNull<W>, value: u64, order: Ordering) -> bool {
    let site = Location::caller();
    MODEL.get().is_some_and(|model| model.store(ptr.addr().get(), size_of::<W>(), value, order, site))
}

/// # Safety
///
/// As for the copies of [`memory`].
pub(crate) unsafe fn copy_in(shared: NonNull<u8>, private: &mut [u8]) {
    if !MODEL.get().is_some_and(|model| model.read(shared.addr().get(), private)) {
        // SAFETY: the caller's.
        unsafe { memory::copy_in(shared, private) }
    }
}

/// # Safety
///
/// As for the copies of [`memory`].
pub(crate) unsafe fn copy_out(private: &[u8], shared: NonNull<u8>) {
    if !MODEL.get().is_some_and(|model| model.write(shared.addr().get(), private)) {
        // SAFETY: the caller's.
        unsafe { memory::copy_out(private, shared) }
    }
}
