//! Payloads that are copied by the peer's readers and writers.

use std::io::{Read, Write};
use std::ops::Deref;
use std::sync::Arc;

use anyhow::{Result, bail};
use virtio_queue::{DescriptorChain, QueueT};
use vm_memory::GuestMemoryMmap;

use super::Peer;
use crate::support::device::{Contender, Device, MISSING};
use crate::support::payload::{payload, seen};
use crate::support::ring::Ring;
use crate::support::shape::{Direction, Format, Payload};

pub(crate) const COPY: Contender = Contender::new("virtio-queue", Format::Split, |ring| Box::new(Payloads::new(ring)));
pub(crate) const REQUEST: Contender =
    Contender::new("virtio-queue", Format::Split, |ring| Box::new(Requests::new(ring)));

/// Copies the payload of a chain, and returns what that adds to the sum.
#[inline]
fn copy<M>(guest: &GuestMemoryMmap, chain: DescriptorChain<M>, direction: Direction, buf: &mut [u8]) -> Result<u64>
where
    M: Deref<Target = GuestMemoryMmap>,
{
    match direction {
        Direction::Read => {
            chain.reader(guest)?.read_exact(buf)?;
            Ok(seen(buf))
        }
        Direction::Write => {
            chain.writer(guest)?.write_all(buf)?;
            Ok(buf.len() as u64)
        }
    }
}

/// Returns the length that is reported for a payload.
fn used_len(direction: Direction, buf: &[u8]) -> Result<u32> {
    Ok(if direction == Direction::Write { u32::try_from(buf.len())? } else { 0 })
}

/// A device that does all there is to do for a request.
struct Requests {
    peer: Peer,
    chains: usize,
    burst: usize,
    direction: Direction,
    buf: Vec<u8>,
}

impl Requests {
    fn new(ring: &Ring) -> Self {
        let Payload { bytes, direction } = ring.shape.payload.expect("the shape has one");
        let (chains, burst) = (ring.chains.len(), ring.shape.burst.into());
        Self { peer: Peer::new(ring), chains, burst, direction, buf: payload(0, bytes) }
    }
}

impl Device for Requests {
    fn serve(&mut self) -> Result<u64> {
        let mut sum = 0_u64;
        for _ in 0..self.chains / self.burst {
            for _ in 0..self.burst {
                let Peer { queue, guest, .. } = &mut self.peer;
                let Some(chain) = queue.pop_descriptor_chain(&**guest) else { bail!(MISSING) };
                let head = chain.head_index();
                sum = sum.wrapping_add(copy(guest, chain, self.direction, &mut self.buf)?);
                queue.add_used(&**guest, head, used_len(self.direction, &self.buf)?)?;
            }
            self.peer.signal()?;
        }
        Ok(sum)
    }

    fn signals(&self) -> u64 {
        self.peer.signals
    }
}

/// A device of which only the copies are timed: chains are popped before, and used afterwards.
struct Payloads {
    peer: Peer,
    popped: Vec<DescriptorChain<Arc<GuestMemoryMmap>>>,
    heads: Vec<u16>,
    chains: usize,
    direction: Direction,
    buf: Vec<u8>,
}

impl Payloads {
    fn new(ring: &Ring) -> Self {
        let Payload { bytes, direction } = ring.shape.payload.expect("the shape has one");
        let (popped, heads, chains) = (Vec::new(), Vec::new(), ring.chains.len());
        Self { peer: Peer::new(ring), popped, heads, chains, direction, buf: payload(0, bytes) }
    }
}

impl Device for Payloads {
    fn prepare(&mut self) -> Result<()> {
        for _ in 0..self.chains {
            let Peer { queue, guest, .. } = &mut self.peer;
            let Some(chain) = queue.pop_descriptor_chain(Arc::clone(guest)) else { bail!(MISSING) };
            self.heads.push(chain.head_index());
            self.popped.push(chain);
        }
        Ok(())
    }

    fn serve(&mut self) -> Result<u64> {
        let mut sum = 0_u64;
        for chain in self.popped.drain(..) {
            sum = sum.wrapping_add(copy(&self.peer.guest, chain, self.direction, &mut self.buf)?);
        }
        Ok(sum)
    }

    fn finish(&mut self) -> Result<()> {
        for head in self.heads.drain(..) {
            self.peer.queue.add_used(&*self.peer.guest, head, used_len(self.direction, &self.buf)?)?;
        }
        self.peer.signal()
    }

    fn signals(&self) -> u64 {
        self.peer.signals
    }
}
