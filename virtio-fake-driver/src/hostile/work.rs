//! The amount of work of a device.

use core::fmt;

use virtio_mem_traits::Access;

use super::lent::Place;

/// The accesses and translations of a device in one call.
///
/// An access is one report of [`DriverMem`](virtio_mem_traits::DriverMem), of any number of bytes.
///
/// ```
/// use virtio_fake_driver::hostile::Work;
///
/// let work = Work { translations: 3, reads: 5, writes: 2 };
/// assert_eq!(work.total(), 10);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// The number of translations that the device asked for.
    pub translations: u64,
    /// The number of reads that the device reported.
    pub reads: u64,
    /// The number of writes that the device reported.
    pub writes: u64,
}

impl Work {
    /// Returns the number of accesses and translations.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.translations + self.reads + self.writes
    }
}

/// The number of reads and writes of a device, for each kind of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// The fields of the rings.
    pub rings: u64,
    /// The entries of indirect tables.
    pub tables: u64,
    /// Buffers that the device read.
    pub read: u64,
    /// Buffers that the device wrote.
    pub written: u64,
}

impl Touched {
    pub(super) fn add(&mut self, place: Place, access: Access) {
        match (place, access.writes()) {
            (Place::Ring, _) => self.rings += 1,
            (Place::Table, _) => self.tables += 1,
            (Place::Buffer, false) => self.read += 1,
            (Place::Buffer, true) => self.written += 1,
        }
    }
}

/// Writes the kinds that the device touched, such as `rings 9, buffers 2r 1w`.
impl fmt::Display for Touched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rings, tables, read, written } = self;
        write!(f, "rings {rings}")?;
        if *tables != 0 {
            write!(f, ", tables {tables}")?;
        }
        if read + written != 0 {
            write!(f, ", buffers {read}r {written}w")?;
        }
        Ok(())
    }
}
