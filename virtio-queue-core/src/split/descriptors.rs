//! The descriptors of a split ring, as a walk needs them.

use virtio_mem_traits::StableMem;
use virtio_ring::split::{DescriptorArea, DescriptorTable};

use crate::rules::SplitLimits;

/// The table of a split ring, and the limits of its chains.
#[derive(Debug)]
pub(super) struct Descriptors<M> {
    pub(super) area: DescriptorArea<M>,
    pub(super) limits: SplitLimits,
}

impl<M: StableMem> Descriptors<M> {
    #[inline(always)]
    pub(super) fn table(&self) -> DescriptorTable<'_, M> {
        self.area.table()
    }

    #[inline(always)]
    pub(super) const fn mem(&self) -> &M {
        self.area.mem()
    }
}
