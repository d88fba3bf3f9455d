//! Descriptors, as a driver writes them and as it finds them.

use virtio_mem_traits::DriverAddr;

/// A descriptor of a packed virtqueue, with any content.
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
    /// The length of the element or of the indirect table, in bytes.
    pub len: u32,
    /// The Buffer ID, in the last descriptor of its list.
    pub id: u16,
    /// The flags: [`NEXT`](Self::NEXT), [`WRITE`](Self::WRITE), [`INDIRECT`](Self::INDIRECT), [`AVAIL`](Self::AVAIL),
    /// [`USED`](Self::USED), and any bits without a meaning.
    pub flags: u16,
}

impl Descriptor {
    /// The list continues in the next slot.
    pub const NEXT: u16 = 1;
    /// The element is device-writable. In a used descriptor, the device has written bytes.
    pub const WRITE: u16 = 2;
    /// The element is an indirect table.
    pub const INDIRECT: u16 = 4;
    /// Is equal to the driver's wrap counter when the descriptor is made available.
    pub const AVAIL: u16 = 1 << 7;
    /// Differs from the driver's wrap counter when the descriptor is made available. Is equal to the device's wrap
    /// counter when it is used.
    pub const USED: u16 = 1 << 15;

    /// The size in bytes.
    pub const SIZE: u64 = 16;

    /// Returns the descriptor as it is in memory.
    ///
    /// The bytes are the same on every host (FD-14).
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        let Self { addr, len, id, flags } = self;
        let number = u128::from(addr.0) | u128::from(len) << 64 | u128::from(id) << 96 | u128::from(flags) << 112;
        number.to_le_bytes()
    }

    /// Returns the descriptor for its bytes in memory.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "splits the number that `to_bytes` builds")]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        let number = u128::from_le_bytes(bytes);
        Self {
            addr: DriverAddr(number as u64),
            len: (number >> 64) as u32,
            id: (number >> 96) as u16,
            flags: (number >> 112) as u16,
        }
    }

    /// Links `descriptors` into one list with the Buffer ID `id`.
    ///
    /// Only the last descriptor has the Buffer ID (PACK-USED-2). The others have an absurd value.
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
    /// The number of bytes that were written, with [`Descriptor::WRITE`].
    pub len: u32,
    /// The Buffer ID.
    pub id: u16,
    /// [`Descriptor::WRITE`] if bytes were written; [`Descriptor::AVAIL`] and [`Descriptor::USED`] if the device's wrap
    /// counter is set.
    pub flags: u16,
}

impl UsedDescriptor {
    /// Returns whether a device whose wrap counter is `wrap` has used the descriptor.
    ///
    /// Both bits must be equal to `wrap`. In a slot that was skipped, one of them can be equal by chance (FD-5).
    #[must_use]
    pub const fn is_used(self, wrap: bool) -> bool {
        let both = Descriptor::AVAIL | Descriptor::USED;
        self.flags & both == if wrap { both } else { 0 }
    }

    /// Returns how many bytes were written.
    ///
    /// Without [`Descriptor::WRITE`], the length has no meaning, and the result is 0 (PACK-USED-5).
    #[must_use]
    pub const fn written(self) -> u32 {
        if self.flags & Descriptor::WRITE == 0 { 0 } else { self.len }
    }
}
