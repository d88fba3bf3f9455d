//! Driver memory from the driver's side.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, Word};

/// A handle on driver memory with which a test does what a driver does: it reads and writes wherever it likes.
///
/// The memory is any [`DriverMem`], and `M` is a handle on it: an `Arc`, an `Rc` or a reference. The view can be cloned
/// if the handle can, and it can go to another thread if the handle can.
///
/// No [`TestMem`](crate::TestMem) around the same memory takes note of what happens through a view, and none of its
/// restrictions hold here. Nothing is reported to the memory either: [`DriverMem::before_read`] and
/// [`DriverMem::written`] are for what the device does.
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

/// Bytes, wherever they are. They are accessed in pieces if the memory has them in pieces.
impl<M: DriverMem> DriverView<M> {
    /// Returns the `len` bytes at `addr`.
    ///
    /// # Panics
    ///
    /// If the memory does not have all of them, or does not let them be read.
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
    /// If the memory does not have room for all of them, or does not let them be written.
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

    /// Calls `with` for each piece of the `len` bytes at `addr`, with its place among them.
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

    /// Finds what is in one piece of the `len` bytes at `addr`, after the first `done` of them.
    fn place(&self, addr: DriverAddr, done: usize, len: usize, access: Access) -> DeviceRange<'_> {
        let rest = DriverRange::new(addr, len as u64).map(|range| range.after(done as u64));
        let rest = rest.unwrap_or_else(|| panic!("{len} bytes at {addr} end beyond 2^64"));
        match self.mem.translate(rest, access) {
            Ok(piece) if !piece.is_empty() => piece.prefix(len - done),
            Ok(_) => panic!("the memory answers {rest} with no bytes; it must answer with 1 at least"),
            Err(error) => panic!("the driver needs {len} bytes at {addr}: {error}"),
        }
    }
}

/// Single accesses to fields of a ring, in memory order. They panic if the field is not there, is not in one piece, or
/// is not aligned.
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
