//! Descriptors, as a driver writes them and as it finds them.

use virtio_mem_traits::DriverAddr;

/// A descriptor of a packed virtqueue, with any content whatever.
///
/// VIRTIO 1.4 §2.8.13 "The Virtqueue Descriptor Format".
///
/// ```
/// use virtio_fake_driver::packed::Descriptor;
/// use virtio_mem_traits::DriverAddr;
///
/// let flags = Descriptor::WRITE | Descriptor::AVAIL;
/// let descriptor = Descriptor { addr: DriverAddr(0x1000), len: 2, id: 5, flags };
/// assert_eq!(descriptor.to_bytes(), [0, 0x10, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0x82, 0]);
/// assert_eq!(Descriptor::from_bytes(descriptor.to_bytes()), descriptor);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// The address of the element, or of an indirect table.
    pub addr: DriverAddr,
    /// Its length in bytes.
    pub len: u32,
    /// What the buffer is known by, in the last descriptor of its list.
    pub id: u16,
    /// The sum of [`NEXT`](Self::NEXT), [`WRITE`](Self::WRITE), [`INDIRECT`](Self::INDIRECT), [`AVAIL`](Self::AVAIL),
    /// [`USED`](Self::USED), and of what makes no sense.
    pub flags: u16,
}

impl Descriptor {
    /// The list goes on in the next slot.
    pub const NEXT: u16 = 1;
    /// The element is device-writable; when it was used, something was written.
    pub const WRITE: u16 = 2;
    /// The element is an indirect table.
    pub const INDIRECT: u16 = 4;
    /// Equal to the driver's wrap counter when it was made available.
    pub const AVAIL: u16 = 1 << 7;
    /// Different from the driver's wrap counter when it was made available, equal to the device's when it was used.
    pub const USED: u16 = 1 << 15;

    /// The size in bytes.
    pub const SIZE: u64 = 16;

    /// Returns the descriptor as it lies in memory, the same on every host (FD-14).
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        let Self { addr, len, id, flags } = self;
        let number = u128::from(addr.0) | u128::from(len) << 64 | u128::from(id) << 96 | u128::from(flags) << 112;
        number.to_le_bytes()
    }

    /// Returns the descriptor that lies in memory as `bytes`.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "takes apart what `to_bytes` put together")]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        let number = u128::from_le_bytes(bytes);
        Self {
            addr: DriverAddr(number as u64),
            len: (number >> 64) as u32,
            id: (number >> 96) as u16,
            flags: (number >> 112) as u16,
        }
    }

    /// Links `descriptors` into one list, known by `id`.
    ///
    /// Only the last one says so (PACK-USED-2). The others say something absurd.
    pub(super) fn link(descriptors: &mut [Self], id: u16) {
        let (last, others) = descriptors.split_last_mut().expect("a list has at least one descriptor");
        last.id = id;
        for descriptor in others {
            descriptor.flags |= Self::NEXT;
            descriptor.id = u16::MAX;
        }
    }
}

/// A used descriptor, as the device wrote it.
///
/// ```
/// use virtio_fake_driver::{DriverChain, PackedFixture};
///
/// let mut fixture = PackedFixture::new(8);
/// let id = fixture.driver.add(&DriverChain::new().writable(4))?;
/// drop(fixture.queue.next_chain()?); // A chain that is dropped is used.
/// let used = fixture.driver.raw().used_descriptor(0);
/// assert!(used.is_used(true));
/// assert_eq!((used.id, used.written()), (id, 0));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedDescriptor {
    /// How many bytes were written, if any were.
    pub len: u32,
    /// What the buffer is known by.
    pub id: u16,
    /// The sum of [`Descriptor::WRITE`] if anything was written, and of [`Descriptor::AVAIL`] and [`Descriptor::USED`]
    /// if the device's wrap counter is set.
    pub flags: u16,
}

impl UsedDescriptor {
    /// Returns whether a device whose wrap counter is `wrap` has used the descriptor: both bits equal it. One of them
    /// may do so by chance, in a slot that was skipped (FD-5).
    #[must_use]
    pub const fn is_used(self, wrap: bool) -> bool {
        let both = Descriptor::AVAIL | Descriptor::USED;
        self.flags & both == if wrap { both } else { 0 }
    }

    /// Returns how many bytes were written: without the flag, the length has no meaning (PACK-USED-5).
    #[must_use]
    pub const fn written(self) -> u32 {
        if self.flags & Descriptor::WRITE == 0 { 0 } else { self.len }
    }
}
