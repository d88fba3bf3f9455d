//! Driver memory over bytes of this program, for tools that read rings.

use core::marker::PhantomData;
use core::ptr::NonNull;
use core::{error, fmt};

use crate::access::Access;
use crate::device_range::DeviceRange;
use crate::driver_mem::{DriverMem, TranslateError};
use crate::driver_range::{DriverAddr, DriverRange};
#[cfg(feature = "alloc")]
use crate::heap::HeapMem;

/// A memory dump as driver memory.
///
/// The bytes belong only to this program. The driver knew them at the addresses from `base` on.
///
/// With a `DumpMem`, a tool reads the rings in a dump as a device reads rings, without `unsafe`. The modules `split`
/// and `packed` of `virtio-ring` have a complete example each.
///
/// There are two constructors. [`new`](Self::new) copies the dump. It accepts any bytes: a `Vec`, an array, a part of a
/// mapped file. [`in_place`](Self::in_place) borrows the bytes exclusively and copies nothing. Writes change the
/// borrowed bytes.
///
/// A ring consists of words that are accessed in one piece. So the driver's address and the host address must be equal
/// modulo [`ALIGN`](Self::ALIGN). [`new`](Self::new) puts the copy at such an address. [`in_place`](Self::in_place)
/// refuses bytes at any other address.
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
/// Do not use it for memory that somebody else can write at the same time. Implement [`DriverMem`] for such memory.
///
/// For several parts of memory, make a `DumpMem` of each part, and a `RegionTable` of the crate virtio-util from all of
/// them.
pub struct DumpMem<'a> {
    bytes: Bytes<'a>,
    range: DriverRange,
}

enum Bytes<'a> {
    /// As many bytes as the range has.
    Borrowed(Exclusive<'a>),
    /// The bytes of the range, behind a gap that begins at the next lower multiple of `ALIGN`.
    #[cfg(feature = "alloc")]
    Owned(HeapMem),
}

/// Bytes that were borrowed exclusively.
struct Exclusive<'a> {
    /// INVARIANT: the first of `len` bytes that are borrowed mutably for `'a`. They are accessed only through this
    /// value.
    ptr: NonNull<u8>,
    len: usize,
    _bytes: PhantomData<&'a mut [u8]>,
}

// SAFETY: it is a `&mut [u8]`, which is `Send`.
unsafe impl Send for Exclusive<'_> {}
// SAFETY: the bytes are accessed only through `DeviceRange`, which can be used from any thread.
unsafe impl Sync for Exclusive<'_> {}

impl<'a> Exclusive<'a> {
    fn new(bytes: &'a mut [u8]) -> Self {
        Self { len: bytes.len(), ptr: NonNull::from(bytes).cast(), _bytes: PhantomData }
    }

    const fn all(&self, access: Access) -> DeviceRange<'_> {
        // SAFETY: (1) by the invariant, the bytes are borrowed mutably for at least as long as `self` is borrowed, so
        // they can be read and written; they are bound to no thread; (2) by the invariant, the program cannot reach
        // them in any other way during that time, and here they become only `DeviceRange`s; (3) they were a slice.
        unsafe { DeviceRange::new(self.ptr, self.len, access) }
    }
}

impl<'a> DumpMem<'a> {
    /// The modulus in bytes for which the driver's address and the host address must be equal.
    ///
    /// It is the largest alignment of an area of a virtqueue.
    pub const ALIGN: usize = 16;

    /// Borrows `bytes`, which the driver knew at the addresses from `base` on.
    ///
    /// When the borrow ends, `bytes` has everything that was written to the memory.
    ///
    /// # Errors
    ///
    /// If `bytes` is empty, if the range ends beyond 2^64, or if the address of the first byte is not equal to `base`
    /// modulo [`ALIGN`](Self::ALIGN). The start of a mapping fits any `base` that is a multiple of `ALIGN`.
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

    /// Returns the driver's addresses of the memory.
    #[must_use]
    pub const fn range(&self) -> DriverRange {
        self.range
    }

    /// Returns all of the memory, for `access`.
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
    /// Copies `bytes`, which the driver knew at the addresses from `base` on.
    ///
    /// # Errors
    ///
    /// If `bytes` is empty, if the range ends beyond 2^64, or if there is no memory for the copy.
    pub fn new(base: DriverAddr, bytes: &[u8]) -> Result<Self, DumpMemError> {
        let range = range_of(base, bytes)?;
        // Heap memory begins at an aligned host address, so it must begin at an aligned address for the driver.
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
        #[expect(clippy::cast_possible_truncation, reason = "both are at most the number of bytes of the memory")]
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

/// Returns the range of driver memory of `bytes` at `base`.
fn range_of(base: DriverAddr, bytes: &[u8]) -> Result<DriverRange, DumpMemError> {
    let range = DriverRange::new(base, bytes.len() as u64).filter(|range| !range.is_empty());
    range.ok_or(DumpMemError::BadRange { base, len: bytes.len() })
}

/// Returns how many bytes `base` lies above a multiple of `ALIGN`.
#[inline]
const fn skew(base: DriverAddr) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "only the low bits matter")]
    let low = base.0 as usize;
    low % DumpMem::ALIGN
}

/// The reason why bytes cannot become a [`DumpMem`].
///
/// ```
/// use virtio_mem_traits::{DriverAddr, DumpMem};
///
/// let error = DumpMem::in_place(DriverAddr(0x1000), &mut []).unwrap_err();
/// assert!(error.to_string().starts_with("0 bytes at 0x1000 are not a range of driver memory"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DumpMemError {
    /// The range is empty, or ends beyond 2^64.
    BadRange {
        /// The first address.
        base: DriverAddr,
        /// The length in bytes.
        len: usize,
    },
    /// The bytes are at a host address where words cannot be accessed in one piece.
    Misaligned {
        /// The driver's address of the first byte.
        base: DriverAddr,
        /// The host address of the first byte.
        host: usize,
    },
    /// There is not enough memory.
    OutOfMemory {
        /// The length in bytes.
        len: usize,
    },
}

impl fmt::Display for DumpMemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRange { base, len } => {
                write!(f, "{len} bytes at {base} are not a range of driver memory: ")?;
                f.write_str("it must have at least 1 byte and end at 2^64 at most")
            }
            Self::Misaligned { base, host } => {
                write!(
                    f,
                    "the bytes of {base} are at host address {host:#x}: the two must be equal modulo {}, ",
                    DumpMem::ALIGN
                )?;
                f.write_str("or the bytes must be copied by `DumpMem::new`")
            }
            Self::OutOfMemory { len } => write!(f, "{len} bytes could not be allocated: there is not enough memory"),
        }
    }
}

impl error::Error for DumpMemError {}
