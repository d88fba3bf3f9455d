//! Addresses for buffers, tables and areas.

use alloc::collections::BTreeMap;

use virtio_mem_traits::{DriverAddr, DriverRange};

/// An allocator of driver addresses in one range. It takes the first block that fits.
///
/// It returns numbers, and does not access memory.
///
/// ```
/// use virtio_fake_driver::AddressPool;
/// use virtio_mem_traits::{DriverAddr, DriverRange};
///
/// let mut pool = AddressPool::new(DriverRange::new(DriverAddr(0x1001), 0x100).unwrap());
/// let table = pool.alloc(32, 16).unwrap();
/// assert_eq!(table.start(), DriverAddr(0x1010));
/// pool.free(table);
/// ```
#[derive(Clone, Debug)]
pub struct AddressPool {
    range: DriverRange,
    /// The lengths of the free blocks by their start. INVARIANT: no two blocks are adjacent, and no block is empty.
    free: BTreeMap<u64, u64>,
}

impl AddressPool {
    /// Returns a pool of all addresses in `range`.
    #[must_use]
    pub fn new(range: DriverRange) -> Self {
        let mut pool = Self { range, free: BTreeMap::new() };
        pool.free(range);
        pool
    }

    /// Returns all addresses of the pool, free or not.
    #[must_use]
    pub const fn range(&self) -> DriverRange {
        self.range
    }

    /// Takes `len` bytes at a multiple of `align`, or returns `None` if no free block has them.
    ///
    /// `align` must be a power of two.
    ///
    /// For a `len` of 0, returns an empty range at the start of the pool, which can be misaligned.
    #[must_use]
    pub fn alloc(&mut self, len: u64, align: u64) -> Option<DriverRange> {
        if len == 0 {
            return Some(self.range.prefix(0));
        }
        let found = self.free.iter().find_map(|(start, block_len)| {
            let block = DriverRange::new(DriverAddr(*start), *block_len)?;
            let gap = start.wrapping_neg() & (align - 1);
            block.slice(gap, len).map(|found| (block, gap, found))
        });
        let (block, gap, found) = found?;
        self.free.remove(&block.start().0);
        self.free(block.prefix(gap));
        self.free(block.after(gap + len));
        Some(found)
    }

    /// Puts `range` back into the pool.
    ///
    /// # Panics
    ///
    /// If a part of `range` is free already.
    pub fn free(&mut self, range: DriverRange) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut len) = (range.start().0, range.len());
        if let Some((before, before_len)) = self.free.range(..=start).next_back().map(|(start, len)| (*start, *len)) {
            assert!(start - before >= before_len, "{range} must not be freed: a part of it is free already");
            if start - before == before_len {
                self.free.remove(&before);
                (start, len) = (before, before_len + len);
            }
        }
        if let Some((after, after_len)) = self.free.range(start..).next().map(|(start, len)| (*start, *len)) {
            assert!(after - start >= len, "{range} must not be freed: a part of it is free already");
            if after - start == len {
                self.free.remove(&after);
                len += after_len;
            }
        }
        self.free.insert(start, len);
    }
}

/// Returns the `len` bytes at `offset` of the area at `area`.
pub(crate) fn field(area: DriverAddr, offset: u64, len: u64) -> DriverRange {
    let start = area.checked_add(offset);
    start.and_then(|start| DriverRange::new(start, len)).expect("the areas end below 2^64")
}
