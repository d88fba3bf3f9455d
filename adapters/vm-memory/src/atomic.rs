//! Memories that a VMM replaces while devices use them.

use alloc::sync::Arc;

use crate::handle::Handle;
use crate::memory::Memory;
use crate::vm_memory::VmMemory;

/// Lets queues own the snapshots of one version of vm-memory.
macro_rules! snapshots {
    ($version:ident) => {
        // SAFETY: (1) a guard dereferences to the memory that it was created with, as an `Arc` does, and so do its
        // clones. (2) It keeps that memory alive, also after another memory takes its place in the `GuestMemoryAtomic`.
        // While the guard lives, nothing borrows that memory mutably.
        unsafe impl<M: Memory + $version::GuestMemory> Handle for $version::GuestMemoryLoadGuard<M> {}

        /// Takes the current snapshot.
        impl<M: Memory + $version::GuestMemory> From<&$version::GuestMemoryAtomic<M>> for VmMemory<Arc<M>> {
            #[inline]
            fn from(atomic: &$version::GuestMemoryAtomic<M>) -> Self {
                // A guard that is kept for long makes later loads slower.
                Self::new($version::GuestAddressSpace::memory(atomic).into_inner())
            }
        }
    };
}

snapshots!(vm_memory);
#[cfg(feature = "vm-memory-0-17")]
snapshots!(vm_memory_0_17);
