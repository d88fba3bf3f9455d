//! Driver memory over bytes that the program has, for tools that look at rings.

use core::marker::PhantomData;
use core::ptr::NonNull;
use core::{error, fmt};

#[cfg(feature = "alloc")]
use crate::HeapMem;
use crate::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, TranslateError};

/// Driver memory that was dumped: bytes that belong to this program alone, and which a driver once knew by the
/// addresses from some base on.
///
/// With it, the rings in a memory dump can be read as a device would read them, without `unsafe`. The modules of both
/// formats in `virtio-ring` have a complete example.
///
/// There are two ways to make one. [`new`](Self::new) copies the dump, and takes any bytes: a `Vec`, an array, a part
/// of a file in memory. [`in_place`](Self::in_place) borrows the bytes exclusively and copies nothing; what is written
/// goes to them.
///
/// Rings are made of words that are accessed in one piece. So an address must be the same modulo [`ALIGN`](Self::ALIGN)
/// for the driver and here. A copy is put where that is so; bytes in place must lie so, or they are refused.
///
/// ```
/// use virtio_mem_traits::{Access, DriverAddr, DriverMem, DriverRange, DumpMem};
///
/// let file = [0, 1, 2, 3, 4, 5, 6, 7];
/// let mem = DumpMem::new(DriverAddr(0x4321), &file[1..])?;
/// let range = DriverRange::new(DriverAddr(0x4323), 2).ok_or("beyond 2^64")?;
/// assert_eq!(mem.translate_all(range, Access::Read)?.read::<[u8; 2]>(0)?, [3, 4]);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # When not to use it
///
/// For memory that anybody else can write at the same time: that takes a [`DriverMem`] of its own, which vouches for
/// it. For several parts of memory: make one of each, and of all of them a `RegionTable` of virtio-util.
pub struct DumpMem<'a> {
    bytes: Bytes<'a>,
    range: DriverRange,
}

enum Bytes<'a> {
    /// As many as the range has.
    Borrowed(Exclusive<'a>),
    /// The bytes of the range, and before them as many as there are to the next lower multiple of `ALIGN`.
    #[cfg(feature = "alloc")]
    Owned(HeapMem),
}

/// Bytes that were borrowed exclusively.
struct Exclusive<'a> {
    /// INVARIANT: the first of `len` bytes that are borrowed mutably for `'a`; they are accessed by nobody but through
    /// this value.
    ptr: NonNull<u8>,
    len: usize,
    _bytes: PhantomData<&'a mut [u8]>,
}

// SAFETY: it is a `&mut [u8]`, which is `Send`.
unsafe impl Send for Exclusive<'_> {}
// SAFETY: the bytes are accessed through `DeviceRange` alone, which may be used from any thread.
unsafe impl Sync for Exclusive<'_> {}

impl<'a> Exclusive<'a> {
    fn new(bytes: &'a mut [u8]) -> Self {
        Self { len: bytes.len(), ptr: NonNull::from(bytes).cast(), _bytes: PhantomData }
    }

    const fn all(&self, access: Access) -> DeviceRange<'_> {
        // SAFETY: (1) the bytes are borrowed mutably by the invariant, for at least as long as `self` is borrowed, so
        // they can be read and written, and they are bound to no thread; (2) for that time the program has no other way
        // to them by the invariant, and here they become nothing but `DeviceRange`s; (3) they were a slice.
        unsafe { DeviceRange::new(self.ptr, self.len, access) }
    }
}

impl<'a> DumpMem<'a> {
    /// What an address for the driver and the one here must have in common: they are the same modulo this number of
    /// bytes, the largest alignment of an area of a virtqueue.
    pub const ALIGN: usize = 16;

    /// Takes `bytes` as they lie, as what the driver knows by the addresses from `base` on. Whatever is written to the
    /// memory is in them when the borrow ends.
    ///
    /// # Errors
    ///
    /// If there are no bytes, if the range would end beyond 2^64, or if the first byte lies at an address that is not
    /// `base` modulo [`ALIGN`](Self::ALIGN). The start of a mapping is right for any `base` that is a multiple of it.
    ///
    /// ```
    /// use virtio_mem_traits::{Access, DriverAddr, DriverMem, DumpMem, DumpMemError};
    ///
    /// #[repr(align(16))]
    /// struct Page([u8; 4096]);
    ///
    /// let mut page = Page([0; 4096]);
    /// let mem = DumpMem::in_place(DriverAddr(0x8000), &mut page.0)?;
    /// mem.translate_all(mem.range(), Access::Write)?.write_bytes(2, b"virtio")?;
    /// assert_eq!(page.0[2..8], *b"virtio");
    ///
    /// let refused = DumpMem::in_place(DriverAddr(0x8001), &mut page.0);
    /// assert!(matches!(refused, Err(DumpMemError::Misaligned { .. })));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn in_place(base: DriverAddr, bytes: &'a mut [u8]) -> Result<Self, DumpMemError> {
        let range = range_of(base, bytes)?;
        if bytes.as_ptr().addr() % Self::ALIGN != skew(base) {
            return Err(DumpMemError::Misaligned { base, host: bytes.as_ptr().addr() });
        }
        Ok(Self { bytes: Bytes::Borrowed(Exclusive::new(bytes)), range })
    }

    /// Returns the addresses by which the driver knew it.
    #[must_use]
    pub const fn range(&self) -> DriverRange {
        self.range
    }

    /// Returns all of it, for `access`.
    #[inline]
    fn all(&self, access: Access) -> DeviceRange<'_> {
        match &self.bytes {
            Bytes::Borrowed(bytes) => bytes.all(access),
            #[cfg(feature = "alloc")]
            Bytes::Owned(heap) => heap.all(access).after(skew(self.range.start())),
        }
    }
}

#[cfg(feature = "alloc")]
impl DumpMem<'static> {
    /// Copies `bytes`, as what the driver knows by the addresses from `base` on.
    ///
    /// # Errors
    ///
    /// If there are no bytes, if the range would end beyond 2^64, or if there is no memory for the copy.
    pub fn new(base: DriverAddr, bytes: &[u8]) -> Result<Self, DumpMemError> {
        let range = range_of(base, bytes)?;
        // Heap memory begins at an aligned address here, so it is to begin at one for the driver.
        let skew = skew(base);
        let heap = HeapMem::holding(DriverAddr(base.0 - skew as u64), skew, bytes);
        let heap = heap.map_err(|_| DumpMemError::OutOfMemory { len: bytes.len() })?;
        Ok(Self { bytes: Bytes::Owned(heap), range })
    }
}

impl DriverMem for DumpMem<'_> {
    #[inline]
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        let Some(offset) = self.range.offset_of(range.start()) else {
            return Err(TranslateError::Unmapped { addr: range.start() });
        };
        let len = range.len().min(self.range.len() - offset);
        #[expect(clippy::cast_possible_truncation, reason = "both are at most the number of bytes that there are")]
        let (offset, len) = (offset as usize, len as usize);
        Ok(self.all(access).after(offset).prefix(len))
    }

    #[inline]
    fn region(&self, range: DriverRange, access: Access) -> Result<(DriverRange, DeviceRange<'_>), TranslateError> {
        match self.range.offset_of(range.start()) {
            Some(_) => Ok((self.range, self.all(access))),
            None => Err(TranslateError::Unmapped { addr: range.start() }),
        }
    }

    #[inline]
    fn translations_last(&self) -> bool {
        true
    }
}

impl fmt::Debug for DumpMem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DumpMem({})", self.range)
    }
}

/// Returns the range of driver memory that `bytes` at `base` are.
fn range_of(base: DriverAddr, bytes: &[u8]) -> Result<DriverRange, DumpMemError> {
    let range = DriverRange::new(base, bytes.len() as u64).filter(|range| !range.is_empty());
    range.ok_or(DumpMemError::BadRange { base, len: bytes.len() })
}

/// Returns how many bytes `base` lies above a multiple of `ALIGN`.
#[inline]
const fn skew(base: DriverAddr) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are all that counts")]
    let low = base.0 as usize;
    low % DumpMem::ALIGN
}

/// Bytes that make no [`DumpMem`].
///
/// ```
/// use virtio_mem_traits::{DriverAddr, DumpMem};
///
/// let error = DumpMem::in_place(DriverAddr(0x1000), &mut []).unwrap_err();
/// assert!(error.to_string().starts_with("0 bytes at 0x1000 are no range of driver memory"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DumpMemError {
    /// The range is empty, or would end beyond 2^64.
    BadRange {
        /// The first address.
        base: DriverAddr,
        /// The length in bytes.
        len: usize,
    },
    /// The bytes do not lie where words could be accessed in one piece.
    Misaligned {
        /// The driver's address of the first byte.
        base: DriverAddr,
        /// The address of the first byte here.
        host: usize,
    },
    /// There is not as much memory.
    OutOfMemory {
        /// The length in bytes.
        len: usize,
    },
}

impl fmt::Display for DumpMemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRange { base, len } => {
                write!(f, "{len} bytes at {base} are no range of driver memory: ")?;
                f.write_str("it must have at least 1 byte and end at 2^64 at most")
            }
            Self::Misaligned { base, host } => {
                write!(
                    f,
                    "the bytes of {base} lie at {host:#x} here: the two must be the same modulo {}, ",
                    DumpMem::ALIGN
                )?;
                f.write_str("or the bytes must be copied by `DumpMem::new`")
            }
            Self::OutOfMemory { len } => write!(f, "{len} bytes could not be allocated: there is not as much memory"),
        }
    }
}

impl error::Error for DumpMemError {}
