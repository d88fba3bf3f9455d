//! Implements driver memory for a memory of its own, and checks the implementation with the suite.
//!
//! `cargo run -p virtio-mem-traits --example own_memory`

use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;

use virtio_mem_traits::conformance::{Probe, check};
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, TranslateError};

/// 64 KiB that the driver knows at the addresses from 1 GiB on. A mapping of guest memory is used in the same way.
struct Ram {
    words: Box<[AtomicU64]>,
}

const BASE: DriverAddr = DriverAddr(0x4000_0000);

impl Ram {
    fn new() -> Self {
        Self { words: (0..0x2000).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Returns the range that the driver can name.
    fn range(&self) -> Option<DriverRange> {
        DriverRange::new(BASE, size_of_val(&*self.words) as u64)
    }

    /// Vouches for all of the memory.
    fn all(&self, access: Access) -> DeviceRange<'_> {
        // SAFETY: (1) the words are borrowed as long as the range lives, can be written, and are bound to no thread;
        // (2) all references to them are to atomics, and nothing else accesses them; (3) they are one allocation.
        unsafe { DeviceRange::new(NonNull::from(&*self.words).cast(), size_of_val(&*self.words), access) }
    }
}

impl DriverMem for Ram {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        let addr = range.start();
        let offset = self.range().and_then(|all| all.offset_of(addr)).ok_or(TranslateError::Unmapped { addr })?;
        let rest = usize::try_from(offset).map(|offset| self.all(access).after(offset));
        let rest = rest.map_err(|_| TranslateError::Unmapped { addr })?;
        // The driver can claim more bytes than exist. The result has only those that exist.
        Ok(rest.prefix(usize::try_from(range.len()).unwrap_or(usize::MAX)))
    }

    fn translations_last(&self) -> bool {
        true
    }
}

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let ram = Ram::new();
    let mapped = ram.range().ok_or("the memory ends beyond 2^64")?;
    check(&ram, &Probe { mapped, access: Access::ReadWrite, absent: DriverAddr(0x1000) });

    let claim = DriverRange::new(DriverAddr(0x4000_fff0), 0x1000).ok_or("the claim ends beyond 2^64")?;
    let proved = ram.translate(claim, Access::ReadWrite)?;
    println!("the driver claims {} bytes at {}, and {} of them are there", claim.len(), claim.start(), proved.len());
    proved.write(0, &7_u64)?;
    println!("the first word is {}", proved.read::<u64>(0)?);
    Ok(())
}
