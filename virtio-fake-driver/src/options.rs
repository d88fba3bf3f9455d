//! The options of a driver.

/// The options of a driver.
///
/// By default, a driver has only the feature VERSION_1, begins as a new queue does, and takes descriptors in order.
///
/// ```
/// use std::sync::Arc;
/// use virtio_fake_driver::{DriverOptions, SplitDriver, features};
/// use virtio_mem_traits::{DriverAddr, HeapMem};
///
/// // A queue that is restored just before its indices wrap.
/// let options = DriverOptions { features: features::EVENT_IDX, start: Some(0xfffe), ..Default::default() };
/// let mem = Arc::new(HeapMem::new(DriverAddr(0x1000), 0x1000)?);
/// let driver = SplitDriver::new(mem, 8, options);
/// assert_eq!(driver.available_position(), 0xfffe);
/// # Ok::<_, virtio_mem_traits::HeapMemError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriverOptions {
    /// The features that were negotiated, as in [`features`](crate::features). VERSION_1 is always one of them. If the
    /// type of the driver has one format, the driver sets or clears RING_PACKED.
    ///
    /// With IN_ORDER, one report of the device can cover several buffers (FD-6).
    pub features: u64,
    /// The position where both sides begin, for a device that was restored.
    ///
    /// It is an index for a split ring. For a packed ring, it is a slot with the wrap counter in bit 15.
    pub start: Option<u16>,
    /// The seed of a random order of descriptors or Buffer IDs, or `None` for no random order.
    ///
    /// A split ring with IN_ORDER always has its descriptors in order (FD-3).
    pub scramble: Option<u64>,
}
