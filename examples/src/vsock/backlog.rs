//! Bytes of the guest that the host did not take yet.

use super::credit::BUF_ALLOC;

const SIZE: usize = BUF_ALLOC as usize;

/// A ring of bytes, with room for as many as the guest was promised. It has memory only while it has bytes.
#[derive(Debug, Default)]
pub struct Backlog {
    bytes: Option<Box<[u8]>>,
    /// Where the first byte is, and how many there are.
    start: usize,
    len: usize,
}

impl Backlog {
    /// Returns how many bytes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns where the next bytes are to be put: at least one byte, unless it is full.
    pub fn room(&mut self) -> &mut [u8] {
        let end = self.start + self.len;
        let (from, to) = if end < SIZE { (end, SIZE) } else { (end - SIZE, self.start) };
        let bytes = self.bytes.get_or_insert_with(|| vec![0; SIZE].into_boxed_slice());
        bytes.get_mut(from..to).unwrap_or_default()
    }

    /// Takes the first `len` bytes from that room.
    pub fn put(&mut self, len: usize) {
        self.len = SIZE.min(self.len + len);
    }

    /// Returns the first bytes in one piece: at least one byte, unless it is empty.
    #[must_use]
    pub fn front(&self) -> &[u8] {
        let end = SIZE.min(self.start + self.len);
        self.bytes.as_deref().and_then(|bytes| bytes.get(self.start..end)).unwrap_or_default()
    }

    /// Forgets the first `len` bytes.
    pub fn take(&mut self, len: usize) {
        let len = len.min(self.len);
        self.start = (self.start + len) % SIZE;
        self.len -= len;
        if self.len == 0 {
            *self = Self::default();
        }
    }
}
