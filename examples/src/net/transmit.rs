//! Takes packets from the driver.

use virtio_chain::ReadableChain;
use virtio_mem_traits::{Access, DeviceRange, DriverMem};
use virtio_queue_core::{Chain, DescChain, DriverNotify, FatalError, Piece, QueueState, Ring, Token};

use super::NetDevice;
use super::batch::{Batch, Packets, serve};
use super::counters::Count;
use super::port::{Lost, Port};
use super::wire::{HEADER_LEN, MIN_FRAME};
use crate::prefetch::prefetch_to_read;
use crate::unpublished::Unpublished;
use virtio_vhost_user::Turn;

impl<P: Port> NetDevice<P> {
    /// Takes the next packets from the transmit queue, as far as the port has room, but no more than `limit`: VIRTIO
    /// 1.4 §5.1.6.2 "Packet Transmission".
    ///
    /// The device does not read their headers. Each field needs a feature that the device does not offer. If a frame
    /// begins at a cache line, the line before it stays in the driver's processor.
    #[inline]
    pub(super) fn transmit<'m, R: Ring, N: DriverNotify>(
        &mut self,
        limit: usize,
        ring: &R,
        state: &mut QueueState<R, N>,
        mem: &'m impl DriverMem,
        batch: &mut Batch<'m>,
        count: &mut Count,
    ) -> Result<Turn, FatalError> {
        let limit = limit.min(self.port.capacity());
        serve(&mut Taking { port: &mut self.port, count }, limit, ring, state, mem, batch)
    }
}

/// Where packets go, and how many went there.
struct Taking<'d, P> {
    port: &'d mut P,
    count: &'d mut Count,
}

impl<P: Port> Packets for Taking<'_, P> {
    const ACCESS: Access = Access::Read;

    #[inline]
    fn prefetch<'m>(&mut self, pieces: impl Iterator<Item = Piece<'m>>) {
        pieces.for_each(|piece| prefetch_to_read(piece.memory.after(HEADER_LEN)));
    }

    #[inline]
    fn in_piece(&mut self, piece: &Piece<'_>, mem: &impl DriverMem) -> Option<u32> {
        mem.before_read(piece.range.after(HEADER_LEN as u64));
        self.take(|room| read_piece(piece.memory, room));
        Some(0)
    }

    fn in_chain<R: Ring, N: DriverNotify>(&mut self, token: Token, ring: &R, state: &mut QueueState<R, N>) {
        self.take(|room| read_chain(DescChain::new(ring, token, Unpublished(state)), room));
    }
}

impl<P: Port> Taking<'_, P> {
    /// Takes the packet that `read` puts into the room of the next one.
    #[inline]
    fn take(&mut self, read: impl FnOnce(&mut [u8]) -> Result<usize, Lost>) {
        match read(self.port.room()).and_then(|len| self.port.transmit(len).map(|()| len)) {
            Ok(len) => self.count.packet(len - HEADER_LEN),
            Err(Lost) => self.count.errors += 1,
        }
    }
}

/// Copies the frame of a packet in one piece to its place in `room`, and says how long the packet is.
#[inline]
fn read_piece(piece: DeviceRange<'_>, room: &mut [u8]) -> Result<usize, Lost> {
    let frame = piece.after(HEADER_LEN);
    let place = room.get_mut(HEADER_LEN..piece.len()).ok_or(Lost)?;
    frame.read_bytes(0, place).map_err(|_| Lost)?;
    check(piece.len())
}

/// Copies a packet that the driver has cut in any way. Skips the writable bytes of the chain.
fn read_chain(chain: impl Chain, room: &mut [u8]) -> Result<usize, Lost> {
    let mut chain = ReadableChain::new(chain);
    let header = chain.skip(HEADER_LEN as u64).map_err(|_| Lost)?;
    let place = room.get_mut(HEADER_LEN..).filter(|_| header == HEADER_LEN as u64).ok_or(Lost)?;
    let len = chain.read(place).map_err(|_| Lost)?;
    if len == place.len() && chain.skip(1).map_err(|_| Lost)? != 0 {
        return Err(Lost);
    }
    check(HEADER_LEN + len)
}

/// Returns `len` if it is a valid packet length.
#[inline]
fn check(len: usize) -> Result<usize, Lost> {
    if len < HEADER_LEN + MIN_FRAME { Err(Lost) } else { Ok(len) }
}
