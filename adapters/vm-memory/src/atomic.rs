//! Memories that are replaced while devices use them.

use alloc::sync::Arc;

use virtio_mem_traits::StableMem;
use vm_memory::{GuestAddressSpace, GuestMemory, GuestMemoryAtomic, GuestMemoryLoadGuard};

use crate::memory::Memory;
use crate::vm_memory::VmMemory;

// SAFETY: (1) a guard keeps the memory alive that it was made with, as an `Arc` does, also when another memory takes
// its place in the `GuestMemoryAtomic`; while it does, nobody borrows that memory mutably. A translation was borrowed
// from the memory, not from the guard, for as long as the memory could have been borrowed.
unsafe impl<M: Memory + GuestMemory> StableMem for VmMemory<GuestMemoryLoadGuard<M>> {}

/// The snapshot that there is now.
impl<M: Memory + GuestMemory> From<&GuestMemoryAtomic<M>> for VmMemory<Arc<M>> {
    #[inline]
    fn from(atomic: &GuestMemoryAtomic<M>) -> Self {
        // A guard that is kept makes later loads slower.
        Self::new(atomic.memory().into_inner())
    }
}
