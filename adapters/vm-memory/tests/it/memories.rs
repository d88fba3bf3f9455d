//! Memories to test with.

use core::mem::take;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use virtio_mem_traits::{DriverAddr, DriverRange};
use vm_memory::bitmap::{Bitmap, BitmapSlice, NewBitmap, WithBitmapSlice};
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

/// Two regions side by side for the driver, a hole, and another region.
pub(crate) const REGIONS: [(GuestAddress, usize); 3] =
    [(GuestAddress(0x1_0000), 0x4000), (GuestAddress(0x1_4000), 0x4000), (GuestAddress(0x2_0000), 0x4000)];

/// Where the first two regions of [`REGIONS`] meet.
pub(crate) const SEAM: u64 = 0x1_4000;

/// The range of `len` bytes at `start`.
pub(crate) fn range(start: u64, len: u64) -> DriverRange {
    DriverRange::new(DriverAddr(start), len).unwrap()
}

/// Memory with the regions [`REGIONS`].
pub(crate) fn memory<B: NewBitmap>() -> GuestMemoryMmap<B> {
    GuestMemoryMmap::from_ranges(&REGIONS).unwrap()
}

/// A bitmap that knows every single byte, and how often it was told of any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bytes {
    base: usize,
    dirty: Arc<Mutex<BTreeSet<usize>>>,
}

impl WithBitmapSlice<'_> for Bytes {
    type S = Self;
}

impl BitmapSlice for Bytes {}

impl Bitmap for Bytes {
    fn mark_dirty(&self, offset: usize, len: usize) {
        let start = self.base + offset;
        self.dirty.lock().unwrap().extend(start..start + len);
    }

    fn dirty_at(&self, offset: usize) -> bool {
        self.dirty.lock().unwrap().contains(&(self.base + offset))
    }

    fn slice_at(&self, offset: usize) -> Self {
        Self { base: self.base + offset, dirty: Arc::clone(&self.dirty) }
    }
}

impl NewBitmap for Bytes {
    fn with_len(_: usize) -> Self {
        Self::default()
    }
}

/// Returns the addresses of all bytes that were marked since the last call.
pub(crate) fn take_dirty(memory: &GuestMemoryMmap<Bytes>) -> Vec<u64> {
    let of_region = |(start, len): (GuestAddress, usize)| {
        let region = memory.find_region(start).unwrap();
        let dirty = take(&mut *region.bitmap().dirty.lock().unwrap());
        assert!(dirty.iter().all(|offset| *offset < len), "{dirty:?} beyond {len:#x}");
        dirty.into_iter().map(move |offset| start.0 + offset as u64)
    };
    REGIONS.into_iter().flat_map(of_region).collect()
}
