//! What comes back from a device.

use alloc::vec::Vec;

/// A buffer that the device has used, as the driver found it.
///
/// Before the device got it, every writable byte was poisoned with a value that depends on its place. So a test sees
/// what the device has touched, unless it happened to write the poison.
///
/// ```
/// use virtio_fake_driver::{DriverChain, SplitFixture};
///
/// let mut fixture = SplitFixture::new(8);
/// let id = fixture.driver.add(&DriverChain::new().readable(b"1").writable(100))?;
/// drop(fixture.queue.next_chain()?); // A chain that is dropped is used.
/// let used = fixture.driver.reap()?.ok_or("the device has used the buffer")?;
/// assert_eq!((used.id, used.written()), (id, &[][..]));
/// assert!(used.rest_is_untouched());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedBuffer {
    /// What adding the chain returned.
    pub id: u16,
    /// How many bytes the device says it wrote. At most as many as there was room for.
    pub len: u32,
    /// Everything that was writable. INVARIANT: at least `len` bytes as it was made.
    writable: Vec<u8>,
}

impl UsedBuffer {
    pub(crate) fn new(id: u16, len: u32, writable: Vec<u8>) -> Self {
        Self { id, len, writable }
    }

    /// Returns what the device says it wrote, without regard to the cut: all that a driver may look at.
    ///
    /// VIRTIO 1.4 §2.7.8.3 "Driver Requirements: The Virtqueue Used Ring" (DRV-USED-1).
    #[must_use]
    pub fn written(&self) -> &[u8] {
        self.writable.split_at(self.claimed()).0
    }

    /// Returns all that was writable, beyond what the device says it wrote too: what is behind a hole, as a status byte
    /// may be (SPLIT-USED-4), cannot be said otherwise. What was not written is poison.
    #[must_use]
    pub fn writable(&self) -> &[u8] {
        &self.writable
    }

    /// Returns whether none of the writable bytes after [`written`](Self::written) has changed.
    ///
    /// A device may touch them (SPLIT-USED-3), but most have no reason to.
    #[must_use]
    pub fn rest_is_untouched(&self) -> bool {
        self.writable.iter().enumerate().skip(self.claimed()).all(|(index, byte)| *byte == poison(index))
    }

    /// Returns how many bytes of [`written`](Self::written) have not changed.
    ///
    /// A device has to write all that it says it wrote (SPLIT-USED-2). One byte in 250 or so, of what it does write, is
    /// the poison by chance.
    #[must_use]
    pub fn untouched(&self) -> usize {
        self.written().iter().enumerate().filter(|(index, byte)| **byte == poison(*index)).count()
    }

    fn claimed(&self) -> usize {
        usize::try_from(self.len).map_or(self.writable.len(), |len| len.min(self.writable.len()))
    }
}

/// Returns what the writable byte at `index` of a chain is before the device has written it.
///
/// No two neighbours are the same, so that zeros, or any other fill, stand out.
pub(crate) fn poison(index: usize) -> u8 {
    u8::try_from(index % 251).expect("it is below 251") ^ 0xa5
}
