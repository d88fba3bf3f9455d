//! Driver memory in several regions.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::{error, fmt};

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, TranslateError};

/// Driver memory that consists of regions, each of which is a [`DriverMem`] of its own and knows its part by the
/// driver's addresses.
///
/// Where an address lies is found at once if it is the same region as last time, and by binary search if not. A range
/// that goes on into the next region is answered in pieces, also if the regions are neighbours here.
///
/// A table does not change: [`with`](Self::with) and [`without`](Self::without) make another one, as for the memory
/// slots of vhost-user. A queue goes on with the table that it was made with, and keeps that table's regions alive.
///
/// # When not to use it
///
/// For a single region, which is a `DriverMem` already. For thousands of pages in no order, or behind an IOMMU: keep
/// the tree or the cache that knows them.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use virtio_mem_traits::{Access, DriverAddr, DriverMem, DriverRange, HeapMem};
/// use virtio_util::RegionTable;
///
/// let region = |start| HeapMem::new(DriverAddr(start), 0x1000).map(|mem| (mem.range(), Arc::new(mem)));
/// let low = RegionTable::new([region(0x1000)?])?;
/// let both = low.with(region(0x8000)?)?;
///
/// let range = DriverRange::new(DriverAddr(0x8ff0), 0x20).ok_or("beyond 2^64")?;
/// assert!(low.translate(range, Access::Read).is_err());
/// assert_eq!(both.translate(range, Access::Read)?.len(), 0x10);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RegionTable<M> {
    /// INVARIANT: sorted by address; none is empty, no two overlap.
    regions: Vec<(DriverRange, M)>,
    /// The index of the region that was found last. It is a hint: relaxed, since any value is as good as any other.
    last: AtomicUsize,
}

impl<M: DriverMem> RegionTable<M> {
    /// Makes a table of regions, in any order.
    ///
    /// # Errors
    ///
    /// If one is empty, or if two overlap.
    pub fn new(regions: impl IntoIterator<Item = (DriverRange, M)>) -> Result<Self, RegionError> {
        let mut regions: Vec<_> = regions.into_iter().collect();
        if let Some((range, _)) = regions.iter().find(|(range, _)| range.is_empty()) {
            return Err(RegionError::Empty { addr: range.start() });
        }
        regions.sort_unstable_by_key(|(range, _)| range.start());
        // If any two overlap, then so do two that are next to each other.
        for ((low, _), (high, _)) in regions.iter().zip(regions.iter().skip(1)) {
            if overlap(*low, *high).is_some() {
                return Err(RegionError::Overlap { low: *low, high: *high });
            }
        }
        Ok(Self { regions, last: AtomicUsize::new(0) })
    }

    /// Returns a table with one more region.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn with(&self, region: (DriverRange, M)) -> Result<Self, RegionError>
    where
        M: Clone,
    {
        Self::new(self.regions.iter().cloned().chain([region]))
    }

    /// Returns a table without the region at exactly `range`.
    ///
    /// # Errors
    ///
    /// If there is no such region.
    pub fn without(&self, range: DriverRange) -> Result<Self, RegionError>
    where
        M: Clone,
    {
        let index = self.regions.iter().position(|(region, _)| *region == range);
        let mut regions = self.regions.clone();
        regions.remove(index.ok_or(RegionError::Absent { range })?);
        Self::new(regions)
    }

    /// Returns the regions, sorted by address.
    #[must_use]
    pub fn regions(&self) -> &[(DriverRange, M)] {
        &self.regions
    }

    /// Returns the region in which `range` begins, and the part of the range that lies in it.
    #[inline]
    fn find(&self, range: DriverRange) -> Option<(&M, DriverRange)> {
        if let Some((region, mem)) = self.regions.get(self.last.load(Ordering::Relaxed)) {
            if let Some(part) = part_in(*region, range) {
                return Some((mem, part));
            }
        }
        self.search(range)
    }

    /// Finds what was not in the region that was found last, and remembers where that is.
    fn search(&self, range: DriverRange) -> Option<(&M, DriverRange)> {
        let index = self.regions.partition_point(|(region, _)| region.start() <= range.start()).checked_sub(1)?;
        let (region, mem) = self.regions.get(index)?;
        let part = part_in(*region, range)?;
        self.last.store(index, Ordering::Relaxed);
        Some((mem, part))
    }

    /// Calls `report` for each region that `range` touches, with the part that lies in it.
    #[inline]
    fn report(&self, range: DriverRange, report: impl Fn(&M, DriverRange)) {
        match self.find(range) {
            Some((mem, part)) if part == range => report(mem, part),
            _ => {
                let parts = self.regions.iter().filter_map(|(region, mem)| Some((mem, overlap(*region, range)?)));
                parts.for_each(|(mem, part)| report(mem, part));
            }
        }
    }
}

impl<M: DriverMem> DriverMem for RegionTable<M> {
    #[inline]
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        let (mem, part) = self.find(range).ok_or(TranslateError::Unmapped { addr: range.start() })?;
        mem.translate(part, access)
    }

    #[inline]
    fn before_read(&self, range: DriverRange) {
        self.report(range, M::before_read);
    }

    #[inline]
    fn written(&self, range: DriverRange) {
        self.report(range, M::written);
    }
}

/// Returns the part of `range` that lies in `region`, if it begins there.
#[inline]
fn part_in(region: DriverRange, range: DriverRange) -> Option<DriverRange> {
    region.offset_of(range.start()).map(|offset| range.prefix(region.len() - offset))
}

/// Returns what two ranges have in common. If they have anything in common, one of them begins in the other.
fn overlap(one: DriverRange, other: DriverRange) -> Option<DriverRange> {
    part_in(one, other).or_else(|| part_in(other, one))
}

/// Regions that make no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegionError {
    /// A region has no bytes.
    Empty {
        /// Where it would begin.
        addr: DriverAddr,
    },
    /// Two regions have addresses in common.
    Overlap {
        /// The one that begins first.
        low: DriverRange,
        /// The other.
        high: DriverRange,
    },
    /// A region that is to be removed is not there.
    Absent {
        /// The region.
        range: DriverRange,
    },
}

impl fmt::Display for RegionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { addr } => write!(f, "empty memory region at {addr}"),
            Self::Overlap { low, high } => write!(f, "memory regions {low} and {high} overlap"),
            Self::Absent { range } => write!(f, "no memory region {range}"),
        }
    }
}

impl error::Error for RegionError {}

#[cfg(test)]
mod tests {
    use virtio_mem_traits::HeapMem;

    use super::*;

    #[test]
    fn find_hit_is_remembered_and_miss_is_not() {
        let regions = [0x1000, 0x2000, 0x4000].map(|start| HeapMem::new(DriverAddr(start), 0x1000).unwrap());
        let table = RegionTable::new(regions.map(|mem| (mem.range(), mem))).unwrap();
        for (addr, last) in [(0x4000, 2), (0x4fff, 2), (0x5000, 2), (0x3000, 2), (0x1000, 0), (0, 0), (0x2fff, 1)] {
            let _ = table.find(DriverRange::new(DriverAddr(addr), 1).unwrap());
            assert_eq!(table.last.load(Ordering::Relaxed), last, "{addr:#x}");
        }
    }
}
