//! A port that gives everything back.

use super::{Lost, MAX_PACKET, Port};

/// How many of the largest packets there is room for.
const LARGEST: usize = 16;

/// The length of a packet, in two bytes before it.
const LEN: usize = 2;

/// Has the driver's own packets for the driver, in the order in which they came. When it is full, they wait in the queue.
#[derive(Clone, Debug)]
pub struct Loopback {
    /// The packets one behind the other, between `first` and `end`. The beginning is free again when all are gone.
    bytes: Box<[u8]>,
    first: usize,
    end: usize,
}

impl Loopback {
    /// Makes one that is empty.
    #[must_use]
    pub fn new() -> Self {
        Self { bytes: vec![0; LARGEST * (LEN + MAX_PACKET)].into(), first: 0, end: 0 }
    }

    /// Returns the bytes from a place on: the length of a packet, and what comes after it.
    fn record(&mut self, at: usize) -> Option<(&mut [u8; LEN], &mut [u8])> {
        self.bytes.get_mut(at..)?.split_first_chunk_mut()
    }
}

impl Default for Loopback {
    fn default() -> Self {
        Self::new()
    }
}

impl Port for Loopback {
    fn room(&mut self) -> Option<&mut [u8]> {
        let (_, room) = self.record(self.end)?;
        room.get_mut(..MAX_PACKET)
    }

    fn transmit(&mut self, len: usize) -> Result<(), Lost> {
        let (stored, _) = self.record(self.end).ok_or(Lost)?;
        *stored = u16::try_from(len).map_err(|_| Lost)?.to_ne_bytes();
        self.end += LEN + len;
        Ok(())
    }

    fn packet(&mut self) -> Option<&mut [u8]> {
        if self.first == self.end {
            return None;
        }
        let (len, packet) = self.record(self.first)?;
        packet.get_mut(..u16::from_ne_bytes(*len).into())
    }

    fn done(&mut self) {
        self.first += LEN + self.packet().map_or(0, |packet| packet.len());
        if self.first == self.end {
            (self.first, self.end) = (0, 0);
        }
    }
}
