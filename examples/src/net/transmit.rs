//! Takes packets from the driver.

use virtio_chain::ReadableChain;
use virtio_mem_traits::{Access, DeviceRange, DriverMem};
use virtio_queue_core::{Chain, DescChain, DriverNotify, FatalError, Piece, QueueState, Ring, Token};

use super::NetDevice;
use super::batch::{Batch, Packets, serve};
use super::counters::Count;
use super::lost::Lost;
use super::offloads::Offloads;
use super::port::Port;
use super::wire::{HEADER_LEN, MIN_FRAME, NetHeader, feature};
use crate::prefetch::prefetch_to_read;
use crate::unpublished::Unpublished;
use virtio_vhost_user::Turn;
use zerocopy::FromBytes;

impl<P: Port> NetDevice<P> {
    /// Takes the next packets from the transmit queue, as far as the port has room, but no more than `limit`: VIRTIO
    /// 1.4 §5.1.6.2 "Packet Transmission".
    ///
    /// The device does not read their headers if the driver did not accept that they have a meaning. If a frame begins
    /// at a cache line, the line before it stays in the driver's processor then.
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
        let mut taking = Taking { port: &mut self.port, offloads: self.offloads, count };
        serve(&mut taking, limit, ring, state, mem, batch)
    }
}

/// Where packets go, and how many went there.
struct Taking<'d, P> {
    port: &'d mut P,
    offloads: Offloads,
    count: &'d mut Count,
}

impl<P: Port> Packets for Taking<'_, P> {
    const ACCESS: Access = Access::Read;

    #[inline]
    fn prefetch<'m>(&mut self, pieces: impl Iterator<Item = Piece<'m>>) {
        let unread = self.unread();
        pieces.for_each(|piece| prefetch_to_read(piece.memory.after(unread)));
    }

    #[inline]
    fn in_piece(&mut self, piece: &Piece<'_>, mem: &impl DriverMem) -> Option<u32> {
        let unread = self.unread();
        mem.before_read(piece.range.after(unread as u64));
        self.take(|room| read_piece(piece.memory, unread, room));
        Some(0)
    }

    fn in_chain<R: Ring, N: DriverNotify>(&mut self, token: Token, ring: &R, state: &mut QueueState<R, N>) {
        let unread = self.unread();
        self.take(|room| read_chain(DescChain::new(ring, token, Unpublished(state)), unread, room));
    }
}

impl<P: Port> Taking<'_, P> {
    /// Returns how much of the beginning of a packet is not read: its header, if nothing in it has a meaning.
    #[inline]
    const fn unread(&self) -> usize {
        if self.offloads.include(feature::CSUM) { 0 } else { HEADER_LEN }
    }

    /// Takes the packet that `read` puts into the room of the next one.
    #[inline]
    fn take(&mut self, read: impl FnOnce(&mut [u8]) -> Result<usize, Lost>) {
        if self.try_take(read).is_err() {
            self.count.errors += 1;
        }
    }

    #[inline]
    fn try_take(&mut self, read: impl FnOnce(&mut [u8]) -> Result<usize, Lost>) -> Result<(), Lost> {
        let room = self.port.room();
        let len = read(room)?;
        let (header, rest) = NetHeader::mut_from_prefix(room).map_err(|_| Lost)?;
        let frame = rest.get(..len - HEADER_LEN).ok_or(Lost)?;
        // The device reads its own copy, and the port gets what was checked.
        let checked = self.offloads.check(header, frame).map_err(|_| Lost)?;
        *header = checked;
        self.port.transmit(len)?;
        self.count.packet(len - HEADER_LEN, checked.gso_type);
        Ok(())
    }
}

/// Copies a packet in one piece to `room`, but for the beginning that is `unread`, and says how long it is.
#[inline]
fn read_piece(piece: DeviceRange<'_>, unread: usize, room: &mut [u8]) -> Result<usize, Lost> {
    let place = room.get_mut(unread..piece.len()).ok_or(Lost)?;
    piece.after(unread).read_bytes(0, place).map_err(|_| Lost)?;
    check(piece.len())
}

/// Does so with a packet that the driver has cut in any way. Skips the writable bytes of the chain.
fn read_chain(chain: impl Chain, unread: usize, room: &mut [u8]) -> Result<usize, Lost> {
    let mut chain = ReadableChain::new(chain);
    let skipped = chain.skip(unread as u64).map_err(|_| Lost)?;
    let place = room.get_mut(unread..).filter(|_| skipped == unread as u64).ok_or(Lost)?;
    let len = chain.read(place).map_err(|_| Lost)?;
    if len == place.len() && chain.skip(1).map_err(|_| Lost)? != 0 {
        return Err(Lost);
    }
    check(unread + len)
}

/// Returns `len` if it is a valid packet length.
#[inline]
fn check(len: usize) -> Result<usize, Lost> {
    if len < HEADER_LEN + MIN_FRAME { Err(Lost) } else { Ok(len) }
}
