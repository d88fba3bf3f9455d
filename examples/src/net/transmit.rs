//! Packets of the driver.

use virtio_chain::ReadableChain;
use virtio_mem_traits::{Access, DeviceRange, DriverMem};
use virtio_queue_core::{Chain, DescChain, DriverNotify, FatalError, Piece, QueueState, Ring};

use super::batch::{Batch, Fetched, fetch, turn_of_batch};
use super::{Count, HEADER_LEN, Lost, MIN_FRAME, NetDevice, Port};
use crate::Turn;
use crate::prefetch::prefetch_to_read;
use crate::unpublished::Unpublished;

impl<P: Port> NetDevice<P> {
    /// Takes the next packets from the transmit queue, as far as the port has room, but no more than `limit`: VIRTIO
    /// 1.4 §5.1.6.2 "Packet Transmission".
    ///
    /// Their headers are not looked at. All that they could say takes a feature that is not offered, and where a frame
    /// begins at a cache line, the one before it need not be fetched from the driver's processor.
    #[inline]
    pub(super) fn transmit<R: Ring, N: DriverNotify>(
        &mut self,
        limit: usize,
        ring: &R,
        state: &mut QueueState<R, N>,
        mem: &impl DriverMem,
        count: &mut Count,
    ) -> Result<Turn, FatalError> {
        let limit = limit.min(self.port.capacity());
        let mut batch = Batch::new();
        fetch(&mut batch, limit, ring, state, mem, Access::Read)?;
        let turn = turn_of_batch(batch.len(), limit);
        batch.iter().filter_map(|chain| chain.piece).for_each(|piece| prefetch_to_read(piece.memory.after(HEADER_LEN)));
        let mut taken = |device: &mut Self, read: Result<usize, Lost>| {
            match read.and_then(|len| device.port.transmit(len).map(|()| len)) {
                Ok(len) => count.packet(len - HEADER_LEN),
                Err(Lost) => count.errors += 1,
            }
        };
        let taken = RefCell::new(&mut taken);
        complete(
            batch,
            self,
            ring,
            state,
            |device, piece| {
                let read = read_piece(piece, device.port.room(), mem);
                taken.borrow_mut()(device, read);
                Some(0)
            },
            |device, token, state| {
                let read = read_chain(DescChain::new(ring, token, Unpublished(state)), device.port.room());
                taken.borrow_mut()(device, read);
            },
        );
        Ok(turn)
    }
}

/// Does so however the driver has cut the packet. What is writable in the chain is passed over.
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

/// Returns `len` if a packet can be so long.
#[inline]
fn check(len: usize) -> Result<usize, Lost> {
    if len < HEADER_LEN + MIN_FRAME { Err(Lost) } else { Ok(len) }
}
