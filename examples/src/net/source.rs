//! A port that has packets of its own.

use zerocopy::IntoBytes;

use super::frame::NumberedFrame;
use super::lost::Lost;
use super::offloads::Offloads;
use super::port::Port;
use super::wire::{HEADER_LEN, MAX_FRAME, NetHeader};

/// Has UDP packets for the driver, numbered and all of the same length, and takes none from it.
///
/// A frame is a broadcast, from 198.18.1.`flow` to 198.18.0.1, both at port 9. Its payload begins with its number,
/// eight bytes in network byte order that count from 0; each byte after that is its own place in the frame, modulo 256.
#[derive(Clone, Debug)]
pub struct Source {
    packet: Box<[u8]>,
    next: u64,
    packets: u64,
}

impl Source {
    /// The shortest frame.
    pub const MIN_LEN: u16 = NumberedFrame::LEN;

    /// Creates a source of a number of packets, with frames of `len` bytes. Returns `None` if `len` is not a valid
    /// frame length.
    #[must_use]
    pub fn new(len: u16, flow: u8, packets: u64) -> Option<Self> {
        if len < Self::MIN_LEN || usize::from(len) > MAX_FRAME {
            return None;
        }
        let begin = NumberedFrame::new(len, flow);
        let rest = (0..len).skip(NumberedFrame::LEN.into()).map(|place| place.to_le_bytes()[0]);
        let header = NetHeader::received(1);
        let begin = header.as_bytes().iter().chain(begin.as_bytes()).copied();
        Some(Self { packet: begin.chain(rest).collect(), next: 0, packets })
    }
}

impl Port for Source {
    /// None of its packets leaves work to the driver.
    fn accept(&mut self, _offloads: Offloads) {}

    fn capacity(&self) -> usize {
        0
    }

    fn room(&mut self) -> &mut [u8] {
        &mut []
    }

    fn transmit(&mut self, _len: usize) -> Result<(), Lost> {
        Err(Lost)
    }

    #[inline]
    fn packets(&mut self) -> usize {
        usize::try_from(self.packets - self.next).unwrap_or(usize::MAX)
    }

    #[inline]
    fn packet(&mut self) -> &mut [u8] {
        &mut self.packet
    }

    /// Numbers the next packet. This happens before the copy, because a copy waits for bytes that were written just
    /// before it.
    #[inline]
    fn done(&mut self) {
        self.next += 1;
        let number = self.packet.get_mut(HEADER_LEN + NumberedFrame::NUMBER..).and_then(<[u8]>::first_chunk_mut);
        if let Some(number) = number {
            *number = self.next.to_be_bytes();
        }
    }
}
