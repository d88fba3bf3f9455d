//! The descriptors of a packed ring, as a walk needs them.

use virtio_mem_traits::StableMem;
use virtio_ring::packed::{DescriptorArea, DescriptorTable, QueueSize};

use crate::rules::PackedLimits;

/// The table of a packed ring, and the limits of its chains.
#[derive(Debug)]
pub(super) struct Descriptors<M> {
    pub(super) area: DescriptorArea<M>,
    pub(super) size: QueueSize,
    pub(super) limits: PackedLimits,
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
