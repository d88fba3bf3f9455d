//! Driver memory in several regions.

use alloc::vec::Vec;
use core::{error, fmt};

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, Region, StableMem, TranslateError};

/// Driver memory that consists of several regions. Each region is a [`DriverMem`] that uses the driver's addresses. The
/// table holds a handle on each region: an `Arc`, an `Rc` or a reference.
///
/// It suits devices with one region and devices with hundreds. The table translates each region once, when it is
/// created, if the translations of the region [last](DriverMem::translations_last). A lookup takes a few steps, and the
/// fewest for the largest region. It takes more steps if most regions are close together and others are far away. A
/// range that continues into the next region is translated in pieces, even if the regions are neighbours in this
/// process.
///
/// A table does not change. [`with`](Self::with) and [`without`](Self::without) create another table: use them for the
/// memory slots of vhost-user, for example. A queue keeps the table that it was created with, and so keeps the regions
/// of that table alive.
///
/// # When not to use it
///
/// For thousands of scattered pages, or behind an IOMMU: use your own tree or cache of pages.
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
    /// INVARIANT: sorted by address. No region is empty, and no two overlap.
    regions: Vec<(DriverRange, M)>,
    /// The largest region. A lookup tries it first, because most machines have most of their memory in one region.
    largest: Region<M>,
    /// The addresses from the first region to the end of the last, cut into `1 << shift` bytes each.
    parts: Vec<Part<M>>,
    shift: u32,
    lowest: DriverAddr,
    /// Whether translations last in all regions.
    last: bool,
    /// Whether any region uses reports of reads, and whether any uses reports of writes.
    reports_reading: bool,
    reports_writing: bool,
}

/// A part of the addresses.
#[derive(Debug)]
struct Part<M> {
    /// The index of the first region that ends after the beginning of the part, and that region in device terms.
    ///
    /// PERF: the region is stored next to its part (`regions-512`).
    first: u32,
    region: Region<M>,
}

impl<M: StableMem> RegionTable<M> {
    /// Creates a table of regions. They can come in any order.
    ///
    /// # Errors
    ///
    /// If a region is empty, or if two regions overlap.
    pub fn new(regions: impl IntoIterator<Item = (DriverRange, M)>) -> Result<Self, RegionError> {
        let mut regions: Vec<_> = regions.into_iter().collect();
        if let Some((range, _)) = regions.iter().find(|(range, _)| range.is_empty()) {
            return Err(RegionError::Empty { addr: range.start() });
        }
        regions.sort_unstable_by_key(|(range, _)| range.start());
        // If any two regions overlap, then two neighbours overlap.
        for ((low, _), (high, _)) in regions.iter().zip(regions.iter().skip(1)) {
            if overlap(*low, *high).is_some() {
                return Err(RegionError::Overlap { low: *low, high: *high });
            }
        }
        let (parts, shift) = cut(&regions);
        let lowest = regions.first().map_or(DriverAddr(0), |(lowest, _)| lowest.start());
        let last = regions.iter().all(|(_, mem)| mem.translations_last());
        let [reports_reading, reports_writing] =
            [Access::Read, Access::Write].map(|access| regions.iter().any(|(_, mem)| mem.reports(access)));
        let largest = regions.iter().max_by_key(|(range, _)| range.len()).map_or(Region::empty(), known);
        Ok(Self { regions, largest, parts, shift, lowest, last, reports_reading, reports_writing })
    }

    /// Returns a table with one more region.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn with(&self, region: (DriverRange, M)) -> Result<Self, RegionError> {
        Self::new(self.regions.iter().cloned().chain([region]))
    }

    /// Returns a table without the region at exactly `range`.
    ///
    /// # Errors
    ///
    /// If there is no such region.
    pub fn without(&self, range: DriverRange) -> Result<Self, RegionError> {
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

    /// Returns the index of the first region that ends after the beginning of a part.
    #[inline]
    fn part(&self, index: u64) -> Option<usize> {
        self.parts.get(usize::try_from(index).ok()?).map(|part| part.first as usize)
    }

    /// Returns the regions in the parts from `first` to `last`. They include all regions that touch these addresses.
    #[inline]
    fn regions_in(&self, first: DriverAddr, last: DriverAddr) -> &[(DriverRange, M)] {
        let part = |addr: DriverAddr| addr.0.saturating_sub(self.lowest.0) >> self.shift;
        let Some(begin) = self.part(part(first)) else { return &[] };
        let after = part(last).saturating_add(1);
        let end = self.part(after).map_or(self.regions.len(), |next| next + 1);
        self.regions.get(begin..end).unwrap_or_default()
    }

    /// Returns the region that contains the beginning of `range`, and the part of `range` in that region.
    #[inline]
    fn find(&self, range: DriverRange) -> Option<(&(DriverRange, M), DriverRange)> {
        // An address below all regions is far beyond all parts, or is in none of the regions searched here.
        let first = self.part(range.start().0.wrapping_sub(self.lowest.0) >> self.shift)?;
        let region = self.regions.get(first)?;
        match part_in(region.0, range) {
            Some(part) => Some((region, part)),
            None => self.find_after(first, range),
        }
    }

    /// Finds a range that is not in its first candidate region.
    #[cold]
    fn find_after(&self, first: usize, range: DriverRange) -> Option<(&(DriverRange, M), DriverRange)> {
        let mut before =
            self.regions.get(first + 1..)?.iter().take_while(|(region, _)| region.start() <= range.start());
        before.find_map(|region| Some((region, part_in(region.0, range)?)))
    }

    /// Calls `report` for each region that `range` touches, with the part of `range` in that region.
    ///
    /// The loop ends only where the regions end. So the compiler removes the loop if the reports do nothing.
    #[inline]
    fn report(&self, range: DriverRange, report: impl Fn(&M, DriverRange)) {
        let last = range.after(range.len().saturating_sub(1)).start();
        for (region, mem) in self.regions_in(range.start(), last) {
            if let Some(part) = overlap(*region, range) {
                report(mem, part);
            }
        }
    }
}

/// Creates a table without regions.
impl<M: StableMem> Default for RegionTable<M> {
    fn default() -> Self {
        Self {
            regions: Vec::new(),
            largest: Region::empty(),
            parts: Vec::new(),
            shift: 0,
            lowest: DriverAddr(0),
            last: true,
            reports_reading: false,
            reports_writing: false,
        }
    }
}

/// Returns a region in device terms.
fn known<M: StableMem>((range, mem): &(DriverRange, M)) -> Region<M> {
    Region::new(mem.clone(), *range)
}

/// Cuts the addresses of `regions` into parts. Returns the parts, and the number of bits in the length of one part. The
/// number of parts is the number of regions or a few times that.
fn cut<M: StableMem>(regions: &[(DriverRange, M)]) -> (Vec<Part<M>>, u32) {
    let Some(((lowest, _), (highest, _))) = regions.first().zip(regions.last()) else { return (Vec::new(), 0) };
    // The distance to the last byte fits in a `u64`. The length of all addresses together, 2^64, does not.
    let last = highest.after(highest.len() - 1).start().0 - lowest.start().0;
    let wanted = 4 * regions.len() as u64;
    let shift = u64::BITS - (last / wanted).leading_zeros();
    let part = |index: u64| {
        let begin = DriverAddr(lowest.start().0 + (index << shift));
        let first = regions.partition_point(|(region, _)| region.start() < begin && region.offset_of(begin).is_none());
        let region = regions.get(first).map_or(Region::empty(), known);
        // No memory has 2^32 regions.
        Part { first: u32::try_from(first).unwrap_or(u32::MAX), region }
    };
    ((0..=last >> shift).map(part).collect(), shift)
}

impl<M: StableMem> DriverMem for RegionTable<M> {
    #[inline]
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        // `ok_or` costs six more instructions: the optimiser puts the result and the error into one place, and cuts
        // both into bytes.
        let Some(((_, mem), part)) = self.find(range) else {
            return Err(TranslateError::Unmapped { addr: range.start() });
        };
        mem.translate(part, access)
    }

    #[inline]
    fn region(&self, range: DriverRange, access: Access) -> Result<(DriverRange, DeviceRange<'_>), TranslateError> {
        let ((region, mem), part) = self.find(range).ok_or(TranslateError::Unmapped { addr: range.start() })?;
        let (around, memory) = mem.region(part, access)?;
        if around == *region {
            return Ok((around, memory));
        }
        // The region of the table and the region of the memory can differ: this returns their common part.
        let part = overlap(*region, around).ok_or(TranslateError::Unmapped { addr: range.start() })?;
        let skipped = usize::try_from(part.start().0 - around.start().0).unwrap_or(usize::MAX);
        Ok((part, memory.after(skipped).prefix(usize::try_from(part.len()).unwrap_or(usize::MAX))))
    }

    /// Returns `true` if translations last in every region. The table itself does not change.
    #[inline]
    fn translations_last(&self) -> bool {
        self.last
    }

    // PERF: the largest region is stored in the table itself, and the whole search is inlined (`regions-512`).
    #[inline(always)]
    fn translate_at_once(&self, addr: DriverAddr, len: u32, access: Access) -> Option<DeviceRange<'_>> {
        if let Some(piece) = self.largest.find(addr, len, access) {
            return Some(piece);
        }
        // An address below all regions is far beyond all parts.
        let index = addr.0.wrapping_sub(self.lowest.0) >> self.shift;
        self.parts.get(usize::try_from(index).ok()?)?.region.find(addr, len, access)
    }

    #[inline(always)]
    fn reports(&self, access: Access) -> bool {
        access.reads() && self.reports_reading || access.writes() && self.reports_writing
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

/// Returns the part of `range` in `region`, if `range` begins in `region`.
#[inline]
fn part_in(region: DriverRange, range: DriverRange) -> Option<DriverRange> {
    region.offset_of(range.start()).map(|offset| range.prefix(region.len() - offset))
}

/// Returns the common part of two ranges. If there is one, one of the ranges begins in the other.
#[inline]
fn overlap(one: DriverRange, other: DriverRange) -> Option<DriverRange> {
    part_in(one, other).or_else(|| part_in(other, one))
}

/// The reason why regions cannot form a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegionError {
    /// A region is empty.
    Empty {
        /// The address of the empty region.
        addr: DriverAddr,
    },
    /// Two regions overlap.
    Overlap {
        /// The region that begins first.
        low: DriverRange,
        /// The other region.
        high: DriverRange,
    },
    /// The table has no region at exactly the range to remove.
    Absent {
        /// The range to remove.
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
