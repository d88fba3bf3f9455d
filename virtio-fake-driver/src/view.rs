//! Driver memory from the driver's side.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, Word};

/// A handle on driver memory with which a test does what a driver does: it reads and writes wherever it likes.
///
/// No [`TestMem`](crate::TestMem) around the same memory takes note of that, and none of its restrictions hold here.
/// The handle can be cloned, and used from any thread.
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
pub struct DriverView {
    mem: Arc<HeapMem>,
}

impl DriverView {
    /// Returns the driver's view of `mem`.
    #[must_use]
    pub const fn new(mem: Arc<HeapMem>) -> Self {
        Self { mem }
    }

    /// Returns the memory itself.
    #[must_use]
    pub const fn mem(&self) -> &Arc<HeapMem> {
        &self.mem
    }

    /// Returns the `len` bytes at `addr`.
    ///
    /// # Panics
    ///
    /// If they are not all in the memory.
    #[must_use]
    pub fn peek(&self, addr: DriverAddr, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        if len != 0 {
            self.place(addr, len).read_bytes(0, &mut bytes).expect("the place is as long as that");
        }
        bytes
    }

    /// Writes `bytes` to `addr`.
    ///
    /// # Panics
    ///
    /// If they do not all fit into the memory.
    pub fn poke(&self, addr: DriverAddr, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.place(addr, bytes.len()).write_bytes(0, bytes).expect("the place is as long as that");
        }
    }

    pub(crate) fn zero(&self, range: DriverRange) {
        let len = usize::try_from(range.len()).expect("the range is in memory");
        self.poke(range.start(), &vec![0; len]);
    }

    /// Finds `len` bytes, at least one.
    fn place(&self, addr: DriverAddr, len: usize) -> DeviceRange<'_> {
        let place = DriverRange::new(addr, len as u64).map(|range| self.mem.translate_all(range, Access::ReadWrite));
        match place {
            Some(Ok(place)) => place,
            _ => panic!("the driver has no {len} bytes at {addr} in {:?}", self.mem),
        }
    }
}

/// Single accesses to fields of a ring, in memory order. They panic if the field is not there, or not aligned.
impl DriverView {
    pub(crate) fn load<W: Word>(&self, addr: DriverAddr) -> W {
        self.place(addr, size_of::<W>()).load_relaxed(0).expect("a field of a ring is aligned")
    }

    pub(crate) fn load_acquire<W: Word>(&self, addr: DriverAddr) -> W {
        self.place(addr, size_of::<W>()).load_acquire(0).expect("a field of a ring is aligned")
    }

    pub(crate) fn store<W: Word>(&self, addr: DriverAddr, value: W) {
        self.place(addr, size_of::<W>()).store_relaxed(0, value).expect("a field of a ring is aligned");
    }

    pub(crate) fn store_release<W: Word>(&self, addr: DriverAddr, value: W) {
        self.place(addr, size_of::<W>()).store_release(0, value).expect("a field of a ring is aligned");
    }
}
