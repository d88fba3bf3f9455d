//! Used buffers, which come back from a device.

use alloc::vec::Vec;

/// A buffer that the device has used, as the driver found it.
///
/// Before the chain became available, the driver wrote a poison value to every writable byte. The poison depends on the
/// place of the byte. So a test sees which bytes the device changed. A device that writes the poison value itself is
/// not noticed.
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
    /// The id that [`Driver::add`](crate::Driver::add) returned for the chain.
    pub id: u16,
    /// The number of written bytes, as the device reports it. It is at most the number of writable bytes.
    pub len: u32,
    /// All writable bytes. INVARIANT: at least `len` bytes when the value is made.
    writable: Vec<u8>,
}

impl UsedBuffer {
    pub(crate) fn new(id: u16, len: u32, writable: Vec<u8>) -> Self {
        Self { id, len, writable }
    }

    /// Returns the bytes that the device reports as written, from all elements together.
    ///
    /// A driver must not use any other bytes.
    ///
    /// VIRTIO 1.4 §2.7.8.3 "Driver Requirements: The Virtqueue Used Ring" (DRV-USED-1).
    #[must_use]
    pub fn written(&self) -> &[u8] {
        self.writable.split_at(self.claimed()).0
    }

    /// Returns all writable bytes, even those that the device does not report as written.
    ///
    /// A device can write bytes behind a hole, such as a status byte, and cannot report them (SPLIT-USED-4). Bytes that
    /// the device did not write are poison.
    #[must_use]
    pub fn writable(&self) -> &[u8] {
        &self.writable
    }

    /// Returns whether none of the writable bytes after [`written`](Self::written) has changed.
    ///
    /// A device can change them (SPLIT-USED-3), but most devices have no reason to do so.
    #[must_use]
    pub fn rest_is_untouched(&self) -> bool {
        self.writable.iter().enumerate().skip(self.claimed()).all(|(index, byte)| *byte == poison(index))
    }

    /// Returns how many bytes of [`written`](Self::written) have not changed.
    ///
    /// A device must write all bytes that it reports as written (SPLIT-USED-2). About one in 250 random written bytes
    /// is equal to the poison by chance.
    #[must_use]
    pub fn untouched(&self) -> usize {
        self.written().iter().enumerate().filter(|(index, byte)| **byte == poison(*index)).count()
    }

    fn claimed(&self) -> usize {
        usize::try_from(self.len).map_or(self.writable.len(), |len| len.min(self.writable.len()))
    }
}

/// Returns the poison of the writable byte at `index` of a chain, which it has before the device writes it.
///
/// Neighbouring bytes have different poison, so that zeros or any other constant differ from it.
pub(crate) fn poison(index: usize) -> u8 {
    u8::try_from(index % 251).expect("it is below 251") ^ 0xa5
}
