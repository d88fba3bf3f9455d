//! What the themes of both formats share: memory that logs every access.

use core::cell::RefCell;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, TranslateError};

pub(crate) const BASE: u64 = 0x1_0000;

/// An access that was reported: its offset from the base, its width, and whether it was a write.
pub(crate) type Logged = (u64, u64, bool);

/// Memory that logs what is asked of it, and which fields are accessed.
pub(crate) struct LogMem {
    heap: HeapMem,
    /// The rights of all translations.
    pub(crate) rights: RefCell<Vec<Access>>,
    /// What was read and written since the log was taken last.
    pub(crate) log: RefCell<Vec<Logged>>,
}

impl LogMem {
    pub(crate) fn new() -> Self {
        let heap = HeapMem::new(DriverAddr(BASE), 0x1000).unwrap();
        Self { heap, rights: RefCell::default(), log: RefCell::default() }
    }

    pub(crate) fn poke(&self, offset: usize, bytes: &[u8]) {
        self.heap.translate(self.heap.range(), Access::Write).unwrap().write_bytes(offset, bytes).unwrap();
    }

    pub(crate) fn peek<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.heap.translate(self.heap.range(), Access::Read).unwrap().read(offset).unwrap()
    }
}

impl DriverMem for LogMem {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        self.rights.borrow_mut().push(access);
        self.heap.translate(range, access)
    }

    fn before_read(&self, range: DriverRange) {
        self.log.borrow_mut().push((range.start().0 - BASE, range.len(), false));
    }

    fn written(&self, range: DriverRange) {
        self.log.borrow_mut().push((range.start().0 - BASE, range.len(), true));
    }
}
