//! The traits of a memory and of its regions.

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverRange};

/// A memory that consists of regions. No two regions overlap. The set of regions does not change.
///
/// `GuestRegionCollection` implements it if its regions implement [`Region`]. `GuestMemoryMmap` is a type alias for a
/// `GuestRegionCollection`, so it implements it as well. Implement this trait for your own memory.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a memory that a virtio device can access",
    label = "this is not `GuestMemoryMmap`, and does not implement `Memory`",
    note = "the types must be those of vm-memory 0.18, or of 0.17.1 with the feature `vm-memory-0-17`",
    note = "`IommuMemory` is not supported: wrap the memory behind the IOMMU in `virtio_util::IommuMem`"
)]
pub trait Memory {
    /// The type of its regions.
    type Region: Region;

    /// Returns the region that contains `addr`, or `None`.
    fn find(&self, addr: DriverAddr) -> Option<&Self::Region>;

    /// Returns all regions, in any order.
    ///
    /// [`VmMemory`](crate::VmMemory) translates each of them once. If two overlap, or one is empty, it searches
    /// instead.
    fn regions(&self) -> impl Iterator<Item = &Self::Region>;
}

/// A part of a memory that is contiguous for both the driver and the device.
///
/// `GuestRegionMmap` implements it, with any bitmap. If your own region contains a `GuestRegionMmap`, implement this
/// trait by forwarding to it:
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
    message = "`{Self}` is not a region that a virtio device can access",
    label = "this is not `GuestRegionMmap`, and does not implement `Region`",
    note = "the types must be those of vm-memory 0.18, or of 0.17.1 with the feature `vm-memory-0-17`"
)]
pub trait Region {
    /// Returns the range of the region in driver addresses.
    fn range(&self) -> DriverRange;

    /// Returns the whole region in device terms. Its length must be that of [`range`](Self::range). Returns `None` if
    /// the region does not allow `access`. The result does not change: a [`VmMemory`](crate::VmMemory) asks once.
    fn memory(&self, access: Access) -> Option<DeviceRange<'_>>;

    /// Records that the device has written `len` bytes at `offset`. All of these bytes must be in the region.
    fn mark_dirty(&self, offset: usize, len: usize);

    /// Returns whether [`mark_dirty`](Self::mark_dirty) has an effect. If not, [`VmMemory`](crate::VmMemory) does not
    /// look up written bytes.
    #[inline]
    #[must_use]
    fn is_tracked() -> bool {
        true
    }
}
