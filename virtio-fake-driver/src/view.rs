//! Driver memory, as the driver accesses it.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, Word};

/// A handle on driver memory, with which a test reads and writes at any address, as a driver does.
///
/// The memory is any [`DriverMem`]. `M` is a handle on it: an `Arc`, an `Rc` or a reference. If the handle can be
/// cloned, the view can be cloned. If the handle can go to another thread, the view can too.
///
/// A [`TestMem`](crate::TestMem) around the same memory does not log accesses through a view, and does not restrict
/// them. A view does not call [`DriverMem::before_read`] and [`DriverMem::written`], because these reports are for
/// accesses of the device.
///
/// ```
/// use std::sync::Arc;
/// use virtio_fake_driver::DriverView;
/// use virtio_mem_traits::{DriverAddr, HeapMem};
///
/// let view = DriverView::new(Arc::new(HeapMem::new(DriverAddr(0x1000), 0x1000)?));
/// view.poke(DriverAddr(0x1ffd), &[1, 2, 3]);
/// assert_eq!(view.peek(DriverAddr(0x1ffc), 4), [0, 1, 2, 3]);
/// # Ok::<_, virtio_mem_traits::HeapMemError>(())
/// ```
#[derive(Clone, Debug)]
pub struct DriverView<M = Arc<HeapMem>> {
    mem: M,
}

impl<M> DriverView<M> {
    /// Returns the driver's view of `mem`.
    #[must_use]
    pub const fn new(mem: M) -> Self {
        Self { mem }
    }

    /// Returns the memory itself.
    #[must_use]
    pub const fn mem(&self) -> &M {
        &self.mem
    }
}

/// Accesses to bytes at any address. Bytes in several pieces of memory are accessed piece by piece.
impl<M: DriverMem> DriverView<M> {
    /// Returns the `len` bytes at `addr`.
    ///
    /// # Panics
    ///
    /// If the memory does not have all of them, or refuses to let them be read.
    #[must_use]
    pub fn peek(&self, addr: DriverAddr, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.for_each_piece(addr, len, Access::Read, |piece, at| {
            let part = bytes.get_mut(at).expect("a piece is part of the whole");
            piece.read_bytes(0, part).expect("a piece is as long as its part");
        });
        bytes
    }

    /// Writes `bytes` to `addr`.
    ///
    /// # Panics
    ///
    /// If the memory does not have all of them, or refuses to let them be written.
    pub fn poke(&self, addr: DriverAddr, bytes: &[u8]) {
        self.for_each_piece(addr, bytes.len(), Access::Write, |piece, at| {
            let part = bytes.get(at).expect("a piece is part of the whole");
            piece.write_bytes(0, part).expect("a piece is as long as its part");
        });
    }

    pub(crate) fn zero(&self, range: DriverRange) {
        let len = usize::try_from(range.len()).expect("the range is in memory");
        self.poke(range.start(), &vec![0; len]);
    }

    /// Calls `with` for each piece of the `len` bytes at `addr`, with the offsets of the piece among those bytes.
    fn for_each_piece(
        &self,
        addr: DriverAddr,
        len: usize,
        access: Access,
        mut with: impl FnMut(DeviceRange<'_>, Range<usize>),
    ) {
        let mut done = 0;
        while done < len {
            let piece = self.place(addr, done, len, access);
            with(piece, done..done + piece.len());
            done += piece.len();
        }
    }

    /// Returns the piece of the `len` bytes at `addr` that begins after the first `done` bytes.
    fn place(&self, addr: DriverAddr, done: usize, len: usize, access: Access) -> DeviceRange<'_> {
        let rest = DriverRange::new(addr, len as u64).map(|range| range.after(done as u64));
        let rest = rest.unwrap_or_else(|| panic!("{len} bytes at {addr} end beyond 2^64"));
        match self.mem.translate(rest, access) {
            Ok(piece) if !piece.is_empty() => piece.prefix(len - done),
            Ok(_) => panic!("the memory translates {rest} to 0 bytes: it must return at least 1"),
            Err(error) => panic!("the driver needs {len} bytes at {addr}: {error}"),
        }
    }
}

/// Single accesses to fields of a ring, in the byte order of the memory. They panic if the field is not mapped, not in
/// one piece, or not aligned.
impl<M: DriverMem> DriverView<M> {
    pub(crate) fn load<W: Word>(&self, addr: DriverAddr) -> W {
        self.field::<W>(addr, Access::Read).load_relaxed(0).expect("a field of a ring is whole and aligned")
    }

    #[cfg_attr(virtio_loom, track_caller)]
    pub(crate) fn load_acquire<W: Word>(&self, addr: DriverAddr) -> W {
        self.field::<W>(addr, Access::Read).load_acquire(0).expect("a field of a ring is whole and aligned")
    }

    pub(crate) fn store<W: Word>(&self, addr: DriverAddr, value: W) {
        self.field::<W>(addr, Access::Write).store_relaxed(0, value).expect("a field of a ring is whole and aligned");
    }

    #[cfg_attr(virtio_loom, track_caller)]
    pub(crate) fn store_release<W: Word>(&self, addr: DriverAddr, value: W) {
        self.field::<W>(addr, Access::Write).store_release(0, value).expect("a field of a ring is whole and aligned");
    }

    fn field<W: Word>(&self, addr: DriverAddr, access: Access) -> DeviceRange<'_> {
        self.place(addr, 0, size_of::<W>(), access)
    }
}
