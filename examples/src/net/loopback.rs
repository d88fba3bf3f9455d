//! A port that gives everything back.

use zerocopy::IntoBytes;

use super::port::{Lost, Port};
use super::wire::{MAX_PACKET, NetHeader};

/// The number of packets of the largest length that fit.
const LARGEST: usize = 32;

/// The length of a packet, in two bytes before it.
const LEN: usize = 2;

/// Returns the driver's own packets to the driver, in order. When it is full, packets wait in the queue.
#[derive(Clone, Debug)]
pub struct Loopback {
    /// The packets one behind the other, between `first` and `end`. The beginning is free again when all are gone.
    bytes: Box<[u8]>,
    first: usize,
    end: usize,
    packets: usize,
}

impl Loopback {
    /// Creates an empty loopback.
    #[must_use]
    pub fn new() -> Self {
        Self { bytes: vec![0; LARGEST * (LEN + MAX_PACKET)].into(), first: 0, end: 0, packets: 0 }
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
    fn capacity(&self) -> usize {
        (self.bytes.len() - self.end) / (LEN + MAX_PACKET)
    }

    fn room(&mut self) -> &mut [u8] {
        self.record(self.end).and_then(|(_, room)| room.get_mut(..MAX_PACKET)).unwrap_or_default()
    }

    fn transmit(&mut self, len: usize) -> Result<(), Lost> {
        let (stored, packet) = self.record(self.end).ok_or(Lost)?;
        *stored = u16::try_from(len).map_err(|_| Lost)?.to_ne_bytes();
        NetHeader::received(1).write_to_prefix(packet).map_err(|_| Lost)?;
        self.end += LEN + len;
        self.packets += 1;
        Ok(())
    }

    fn packets(&mut self) -> usize {
        self.packets
    }

    fn packet(&mut self) -> &mut [u8] {
        if self.packets == 0 {
            return &mut [];
        }
        let packet = self.record(self.first).and_then(|(len, bytes)| bytes.get_mut(..u16::from_ne_bytes(*len).into()));
        packet.unwrap_or_default()
    }

    fn done(&mut self) {
        self.first += LEN + self.packet().len();
        self.packets -= 1;
        if self.packets == 0 {
            (self.first, self.end) = (0, 0);
        }
    }
}
