//! A port that gives everything back.

use super::lost::Lost;
use super::offloads::Offloads;
use super::port::Port;
use super::wire::HEADER_LEN;

/// The number of packets of the largest length that fit.
const LARGEST: usize = 32;

/// The length of a packet, in four bytes before it.
const LEN: usize = 4;

/// Returns the driver's own packets to the driver, in order. When it is full, packets wait in the queue.
///
/// A packet that leaves work to the device comes back with that work left to the driver, if the driver accepted to do
/// it. Otherwise, the loopback writes the checksum. It cuts no packet into segments: such a packet is lost.
#[derive(Clone, Debug)]
pub struct Loopback {
    /// The packets one behind the other, between `first` and `end`. The beginning is free again when all are gone.
    bytes: Box<[u8]>,
    first: usize,
    end: usize,
    packets: usize,
    offloads: Offloads,
}

impl Loopback {
    /// Creates an empty loopback.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Offloads::default())
    }

    fn with(offloads: Offloads) -> Self {
        let bytes = vec![0; LARGEST * record_len(offloads)].into();
        Self { bytes, first: 0, end: 0, packets: 0, offloads }
    }

    /// Returns the bytes from a place on: the length of a packet, and what comes after it.
    fn record(&mut self, at: usize) -> Option<(&mut [u8; LEN], &mut [u8])> {
        self.bytes.get_mut(at..)?.split_first_chunk_mut()
    }
}

/// Returns how many bytes the largest packet takes, with its length.
const fn record_len(offloads: Offloads) -> usize {
    LEN + HEADER_LEN + offloads.max_sent()
}

impl Default for Loopback {
    fn default() -> Self {
        Self::new()
    }
}

impl Port for Loopback {
    /// If that is something else than before, what it has kept is gone.
    fn accept(&mut self, offloads: Offloads) {
        if offloads != self.offloads {
            *self = Self::with(offloads);
        }
    }

    fn capacity(&self) -> usize {
        (self.bytes.len() - self.end) / record_len(self.offloads)
    }

    fn room(&mut self) -> &mut [u8] {
        let len = HEADER_LEN + self.offloads.max_sent();
        self.record(self.end).and_then(|(_, room)| room.get_mut(..len)).unwrap_or_default()
    }

    fn transmit(&mut self, len: usize) -> Result<(), Lost> {
        let offloads = self.offloads;
        let (stored, packet) = self.record(self.end).ok_or(Lost)?;
        offloads.receive(packet.get_mut(..len).ok_or(Lost)?)?;
        *stored = u32::try_from(len).map_err(|_| Lost)?.to_ne_bytes();
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
        let packet =
            self.record(self.first).and_then(|(len, bytes)| bytes.get_mut(..u32::from_ne_bytes(*len) as usize));
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
