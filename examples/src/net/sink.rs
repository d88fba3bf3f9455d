//! A port that takes everything.

use super::frame::is_sound;
use super::lost::Lost;
use super::offloads::Offloads;
use super::port::Port;
use super::wire::{HEADER_LEN, MAX_PACKET};

/// Takes every packet, checks whether it is sound, and never has a packet for the driver.
///
/// A packet that leaves work to the device is taken as it is. Nobody does that work.
#[derive(Clone, Debug)]
pub struct Sink {
    packet: Box<[u8]>,
}

impl Sink {
    /// Creates a sink, with room for one packet.
    #[must_use]
    pub fn new() -> Self {
        Self { packet: vec![0; MAX_PACKET].into() }
    }
}

impl Default for Sink {
    fn default() -> Self {
        Self::new()
    }
}

impl Port for Sink {
    fn accept(&mut self, _offloads: Offloads) {}

    fn capacity(&self) -> usize {
        usize::MAX
    }

    #[inline]
    fn room(&mut self) -> &mut [u8] {
        &mut self.packet
    }

    #[inline]
    fn transmit(&mut self, len: usize) -> Result<(), Lost> {
        let frame = self.packet.get(HEADER_LEN..len).ok_or(Lost)?;
        is_sound(frame).then_some(()).ok_or(Lost)
    }

    fn packets(&mut self) -> usize {
        0
    }

    fn packet(&mut self) -> &mut [u8] {
        &mut []
    }

    fn done(&mut self) {}
}
