//! What a memory consists of.

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverRange};

/// A memory that consists of regions, no two of which have an address in common. Which regions those are does not
/// change.
///
/// `GuestRegionCollection` is one if its regions are a [`Region`], and so is `GuestMemoryMmap`, which is another name
/// for the usual case of it. Implement it for a memory of your own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no memory that a virtio device can access",
    label = "this is not `GuestMemoryMmap`, and does not implement `Memory`",
    note = "the types must be those of vm-memory 0.18, or of 0.17.1 with the feature `vm-memory-0-17`",
    note = "`IommuMemory` is not served: put `virtio_util::IommuMem` around the memory behind the IOMMU"
)]
pub trait Memory {
    /// What it consists of.
    type Region: Region;

    /// Returns the region that has `addr`, if there is one.
    fn find(&self, addr: DriverAddr) -> Option<&Self::Region>;
}

/// A part of a memory that is contiguous for the driver and for the device.
///
/// `GuestRegionMmap` is one, with whatever bitmap. Implement it for a region of your own by calling that of the
/// `GuestRegionMmap` inside:
///
/// ```
/// use virtio_mem_traits::{Access, DeviceRange, DriverRange};
/// use virtio_vm_memory::Region;
/// use vm_memory::GuestRegionMmap;
///
/// struct Slot {
///     region: GuestRegionMmap,
///     number: u32,
/// }
///
/// impl Region for Slot {
///     fn range(&self) -> DriverRange {
///         self.region.range()
///     }
///
///     fn memory(&self, access: Access) -> Option<DeviceRange<'_>> {
///         self.region.memory(access)
///     }
///
///     fn mark_dirty(&self, offset: usize, len: usize) {
///         Region::mark_dirty(&self.region, offset, len);
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no region that a virtio device can access",
    label = "this is not `GuestRegionMmap`, and does not implement `Region`",
    note = "the types must be those of vm-memory 0.18, or of 0.17.1 with the feature `vm-memory-0-17`"
)]
pub trait Region {
    /// Returns where the driver has the region.
    fn range(&self) -> DriverRange;

    /// Returns where the whole region is here, as long as [`range`](Self::range), or `None` if it is not for such
    /// accesses.
    fn memory(&self, access: Access) -> Option<DeviceRange<'_>>;

    /// Takes note that the device has written the `len` bytes at `offset`, all of them in the region.
    fn mark_dirty(&self, offset: usize, len: usize);

    /// Returns whether [`mark_dirty`](Self::mark_dirty) does anything. If not, what was written is not looked up.
    #[inline]
    #[must_use]
    fn is_tracked() -> bool {
        true
    }
}
