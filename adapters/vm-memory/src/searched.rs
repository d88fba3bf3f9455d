//! Memory that is asked for each address.

use virtio_mem_traits::{Access, DeviceRange, DriverMem, DriverRange, StableMem, TranslateError};

use crate::handle::Handle;
use crate::memory::{Memory, Region};

/// A memory that finds the region of each address by itself.
#[derive(Clone, Debug)]
pub(crate) struct Searched<H> {
    handle: H,
}

impl<H: Handle> Searched<H> {
    pub(crate) const fn new(handle: H) -> Self {
        Self { handle }
    }

    pub(crate) const fn handle(&self) -> &H {
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

impl<H: Handle> DriverMem for Searched<H> {
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

// SAFETY: (1) a translation borrows from the memory behind the handle, not from the handle, for as long as the memory
// can be borrowed. A `Handle` keeps the memory in place, and nothing borrows it mutably meanwhile.
unsafe impl<H: Handle> StableMem for Searched<H> {}
