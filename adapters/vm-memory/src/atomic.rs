//! Memories that a VMM replaces while devices use them.

use alloc::sync::Arc;

use virtio_mem_traits::StableMem;

use crate::memory::Memory;
use crate::vm_memory::VmMemory;

/// Lets queues own the snapshots of one version of vm-memory.
macro_rules! snapshots {
    ($version:ident) => {
        // SAFETY: (1) a guard keeps the memory alive that it was created with, as an `Arc` does. This also holds after
        // another memory takes its place in the `GuestMemoryAtomic`. While the guard lives, nothing borrows that memory
        // mutably. A translation borrows from the memory, not from the guard, for as long as the memory can be
        // borrowed.
        unsafe impl<M: Memory + $version::GuestMemory> StableMem for VmMemory<$version::GuestMemoryLoadGuard<M>> {}

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
