//! The memory that driver and device share, as `virtio-drivers` wants it: a `Hal`, which is asked without a `self`.

use std::ptr::NonNull;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem};

/// The most bytes that a buffer of the driver's may have.
pub(super) const SLOT: usize = 64 * 1024;

/// Enough for a dozen drivers at a time, each with 16 requests of 4 buffers. What is never used costs nothing.
const SLOTS: usize = 1024;

/// Where the driver sees the memory. Not at 0, which stands for an error.
const BASE: u64 = 1 << 32;

static POOL: LazyLock<Pool> = LazyLock::new(|| Pool {
    mem: Arc::new(HeapMem::new(DriverAddr(BASE), SLOTS * SLOT).expect("64 MiB of address space")),
    free: Mutex::new((0..SLOTS as u64).map(|slot| BASE + slot * SLOT as u64).collect()),
});

/// Memory in slots of one size. It lives as long as the program.
struct Pool {
    mem: Arc<HeapMem>,
    /// INVARIANT: the addresses of the slots that nobody has, each once.
    free: Mutex<Vec<PhysAddr>>,
}

impl Pool {
    fn free(&self) -> MutexGuard<'_, Vec<PhysAddr>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot.
    fn take(&self) -> Option<PhysAddr> {
        self.free().pop()
    }

    /// Gives a slot back.
    fn give_back(&self, slot: PhysAddr) {
        self.free().push(slot);
    }

    /// Returns the first `len` bytes of a slot.
    fn slot(&self, slot: PhysAddr, len: usize) -> DeviceRange<'_> {
        let range = DriverRange::new(DriverAddr(slot), len as u64).filter(|_| len <= SLOT);
        let proved = range.and_then(|range| self.mem.translate_all(range, Access::ReadWrite).ok());
        proved.expect("a buffer of the driver fits into a slot")
    }
}

/// The driver's side of the shared memory. Every buffer is copied to a slot for the device, and back.
pub(super) struct SharedMemory;

impl SharedMemory {
    /// Returns the device's side.
    pub(super) fn for_device() -> Arc<HeapMem> {
        Arc::clone(&POOL.mem)
    }
}

// SAFETY: of the pages that `dma_alloc` returns:
// 1. The pointer is valid until `dma_dealloc` and beyond: the pool lives as long as the program.
// 2. It is aligned to `PAGE_SIZE`: the pool is, in this address space and in the driver's, and so is the size of a
//    slot.
// 3. It aliases nothing: a slot that is not free is handed out to nobody else. The device has access too, which is what
//    the pages are for, but only through `DeviceRange`s, which are no references. Where the driver's accesses are not
//    atomic, they are ordered with the device's by the indices in the rings, which are.
// 4. They are zeroed before they are returned.
unsafe impl Hal for SharedMemory {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let len = pages * PAGE_SIZE;
        let Some(paddr) = POOL.take().filter(|_| len <= SLOT) else {
            return (0, NonNull::dangling());
        };
        let slot = POOL.slot(paddr, len);
        slot.fill(0, len, 0).expect("it was translated for writing");
        (paddr, slot.as_ptr())
    }

    unsafe fn dma_dealloc(paddr: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        POOL.give_back(paddr);
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        unreachable!("there are no device registers in memory")
    }

    unsafe fn share(buffer: NonNull<[u8]>, direction: BufferDirection) -> PhysAddr {
        let paddr = POOL.take().expect("there is a slot for every buffer");
        let slot = POOL.slot(paddr, buffer.len());
        if direction != BufferDirection::DeviceToDriver {
            // SAFETY: the caller vouches that it is valid, and accessed by no other thread meanwhile.
            let buffer = unsafe { buffer.as_ref() };
            slot.write_bytes(0, buffer).expect("it was translated for this");
        }
        paddr
    }

    unsafe fn unshare(paddr: PhysAddr, mut buffer: NonNull<[u8]>, direction: BufferDirection) {
        if direction != BufferDirection::DriverToDevice {
            // SAFETY: the caller vouches that it is valid, and accessed by no other thread meanwhile.
            let buffer = unsafe { buffer.as_mut() };
            POOL.slot(paddr, buffer.len()).read_bytes(0, buffer).expect("it was translated for this");
        }
        POOL.give_back(paddr);
    }
}
