//! The interface for a model checker, in a build with `--cfg virtio_loom`. A model replaces memory and fences.
//!
//! The crates depend on no particular checker. An access that a [`Model`] does not take goes to memory.

use core::panic::Location;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use std::sync::OnceLock;

use crate::copy;

/// The place of an access or a fence in the source.
pub type Site = &'static Location<'static>;

/// Replaces the accesses and the fences of these crates by those of a model checker.
///
/// Addresses are host addresses. Values are in memory order.
pub trait Model: Sync {
    /// Loads the `size` bytes of a word, if the model has them.
    fn load(&self, addr: usize, size: usize, order: Ordering, site: Site) -> Option<u64>;

    /// Stores the `size` bytes of a word, and returns whether the model has them.
    fn store(&self, addr: usize, size: usize, value: u64, order: Ordering, site: Site) -> bool;

    /// Copies bytes out of the model, and returns whether the model has them.
    fn read(&self, addr: usize, bytes: &mut [u8]) -> bool;

    /// Copies bytes into the model, and returns whether the model has them.
    fn write(&self, addr: usize, bytes: &[u8]) -> bool;

    /// Executes a fence of the model.
    fn fence(&self, order: Ordering, site: Site);
}

static MODEL: OnceLock<&'static dyn Model> = OnceLock::new();

/// Installs `model`, unless a model is installed already.
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

/// Loads the word at `ptr` from the model, if there is one and it has the word.
#[track_caller]
pub(crate) fn load<W>(ptr: NonNull<W>, order: Ordering) -> Option<u64> {
    MODEL.get()?.load(ptr.addr().get(), size_of::<W>(), order, Location::caller())
}

/// Stores the word at `ptr` in the model, and returns whether there is one and it has the word.
#[track_caller]
pub(crate) fn store<W>(ptr: NonNull<W>, value: u64, order: Ordering) -> bool {
    let site = Location::caller();
    MODEL.get().is_some_and(|model| model.store(ptr.addr().get(), size_of::<W>(), value, order, site))
}

/// # Safety
///
/// As for the function of [`copy`] with the same name.
pub(crate) unsafe fn copy_in(shared: NonNull<u8>, private: &mut [u8]) {
    if !MODEL.get().is_some_and(|model| model.read(shared.addr().get(), private)) {
        // SAFETY: the caller guarantees it.
        unsafe { copy::copy_in(shared, private) }
    }
}

/// # Safety
///
/// As for the function of [`copy`] with the same name.
pub(crate) unsafe fn copy_out(private: &[u8], shared: NonNull<u8>) {
    if !MODEL.get().is_some_and(|model| model.write(shared.addr().get(), private)) {
        // SAFETY: the caller guarantees it.
        unsafe { copy::copy_out(private, shared) }
    }
}
