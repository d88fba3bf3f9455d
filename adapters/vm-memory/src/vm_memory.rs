//! The adapter type.

use alloc::sync::Arc;
use core::ops::Deref;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, StableMem, TranslateError};

use crate::memory::{Memory, Region};

/// A memory of vm-memory as driver memory, through a handle `H`.
///
/// The handle is an `Arc` of a `GuestMemoryMmap`, or the guard that `GuestMemoryAtomic::memory` returns. With either
/// handle, a queue can own its memory. With any other handle, such as a reference, you can still access the memory.
///
/// A translation ends at the end of a region, even if the next region begins at the next address. A region that is not
/// mapped for both reading and writing refuses every access.
///
/// ```
/// use std::sync::Arc;
///
/// use virtio_mem_traits::{Access, DriverAddr, DriverMem, DriverRange};
/// use virtio_vm_memory::VmMemory;
/// use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
///
/// let memory = Arc::new(GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0x1000), 0x1000)])?);
/// memory.write_obj(7_u32, GuestAddress(0x1ff8))?;
///
/// let mem = VmMemory::new(memory);
/// let range = DriverRange::new(DriverAddr(0x1ff8), 64).ok_or("beyond 2^64")?;
/// let piece = mem.translate(range, Access::Read)?;
/// assert_eq!(piece.len(), 8);
/// assert_eq!(piece.read::<u32>(0)?, 7);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct VmMemory<H> {
    handle: H,
}

impl<H: Deref<Target: Memory>> VmMemory<H> {
    /// Wraps the memory behind `handle`.
    ///
    /// For the current snapshot of any `GuestAddressSpace`, call `VmMemory::new(space.memory())`. For a
    /// `GuestMemoryAtomic`, call `VmMemory::from(&atomic)`: its handle is better suited to being kept.
    #[inline]
    #[must_use]
    pub const fn new(handle: H) -> Self {
        Self { handle }
    }

    /// Returns the handle.
    #[inline]
    #[must_use]
    pub const fn handle(&self) -> &H {
        &self.handle
    }

    /// Marks written bytes, region by region.
    #[inline]
    fn mark_dirty(&self, range: DriverRange) {
        let mut rest = range;
        while !rest.is_empty() {
            // A range that was translated before exists. Any other report is ignored.
            let Some(region) = self.handle.find(rest.start()) else { return };
            let around = region.range();
            let Some(offset) = around.offset_of(rest.start()) else { return };
            let part = rest.prefix(around.len() - offset);
            let (Ok(offset), Ok(len)) = (usize::try_from(offset), usize::try_from(part.len())) else { return };
            region.mark_dirty(offset, len);
            rest = rest.after(part.len());
        }
    }
}

impl<H: Deref<Target: Memory>> DriverMem for VmMemory<H> {
    #[inline]
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        let (around, memory) = self.region(range, access)?;
        let offset = around.start().0.abs_diff(range.start().0);
        let rest = memory.after(usize::try_from(offset).unwrap_or(usize::MAX));
        Ok(rest.prefix(usize::try_from(range.len()).unwrap_or(usize::MAX)))
    }

    #[inline]
    fn region(&self, range: DriverRange, access: Access) -> Result<(DriverRange, DeviceRange<'_>), TranslateError> {
        let addr = range.start();
        let Some(region) = self.handle.find(addr) else { return Err(TranslateError::Unmapped { addr }) };
        let Some(memory) = region.memory(access) else { return Err(TranslateError::Denied { addr, access }) };
        Ok((region.range(), memory))
    }

    #[inline]
    fn translations_last(&self) -> bool {
        true
    }

    // PERF: this compares once with the end of the region (`split-guest-table/direct-8-burst-32`).
    #[inline(always)]
    fn translate_at_once(&self, addr: DriverAddr, len: u32, access: Access) -> Option<DeviceRange<'_>> {
        let region = self.handle.find(addr)?;
        let offset = addr.0.wrapping_sub(region.range().start().0);
        region.memory(access)?.slice(usize::try_from(offset).ok()?, usize::try_from(len).ok()?)
    }

    #[inline(always)]
    fn reports(&self, access: Access) -> bool {
        access.writes() && <H::Target as Memory>::Region::is_tracked()
    }

    #[inline]
    fn written(&self, range: DriverRange) {
        if <H::Target as Memory>::Region::is_tracked() {
            self.mark_dirty(range);
        }
    }
}

// SAFETY: (1) while a handle on the memory lives, the memory stays in place, and nothing borrows it mutably. A
// translation borrows from the memory, not from the handle, for as long as the memory can be borrowed.
unsafe impl<M: Memory> StableMem for VmMemory<Arc<M>> {}
