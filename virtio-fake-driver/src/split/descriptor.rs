//! Descriptors, as a driver writes them.

use virtio_mem_traits::DriverAddr;

/// A descriptor of a split virtqueue, with any content.
///
/// VIRTIO 1.4 §2.7.5 "The Virtqueue Descriptor Table".
///
/// ```
/// use virtio_fake_driver::split::Descriptor;
/// use virtio_mem_traits::DriverAddr;
///
/// let descriptor = Descriptor { addr: DriverAddr(0x1000), len: 2, flags: Descriptor::WRITE, next: 0 };
/// assert_eq!(descriptor.to_bytes(), [0, 0x10, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0]);
/// assert_eq!(Descriptor::from_bytes(descriptor.to_bytes()), descriptor);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// The address of the element, or of an indirect table.
    pub addr: DriverAddr,
    /// The length of the element or of the indirect table, in bytes.
    pub len: u32,
    /// The flags: [`NEXT`](Self::NEXT), [`WRITE`](Self::WRITE), [`INDIRECT`](Self::INDIRECT), and any bits without a
    /// meaning.
    pub flags: u16,
    /// The index of the next descriptor, with [`NEXT`](Self::NEXT).
    pub next: u16,
}

impl Descriptor {
    /// The chain continues at `next`.
    pub const NEXT: u16 = 1;
    /// The element is device-writable.
    pub const WRITE: u16 = 2;
    /// The element is an indirect table.
    pub const INDIRECT: u16 = 4;

    /// The size in bytes.
    pub const SIZE: u64 = 16;

    /// Returns the descriptor as it is in memory.
    ///
    /// The bytes are the same on every host (FD-14).
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        let Self { addr, len, flags, next } = self;
        let number = u128::from(addr.0) | u128::from(len) << 64 | u128::from(flags) << 96 | u128::from(next) << 112;
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
            flags: (number >> 96) as u16,
            next: (number >> 112) as u16,
        }
    }

    /// Links `descriptors` into one chain. The descriptor at `index` of the slice will be at `indices[index]`.
    ///
    /// The field `next` of the last descriptor has no meaning (SPLIT-DESC-5), so its value is absurd.
    pub(super) fn link(descriptors: &mut [Self], indices: &[u16]) {
        let (_, nexts) = indices.split_first().expect("a chain has at least one descriptor");
        for (descriptor, next) in descriptors.iter_mut().zip(nexts) {
            descriptor.flags |= Self::NEXT;
            descriptor.next = *next;
        }
        if let Some(last) = descriptors.last_mut() {
            last.next = u16::MAX;
        }
    }
}
