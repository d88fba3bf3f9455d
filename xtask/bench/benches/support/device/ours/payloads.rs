//! Payloads that are copied by the crate virtio-chain.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::marker::PhantomData;
use std::mem;

use anyhow::{Result, bail, ensure};
use virtio_chain::{IoVec, ReadableChain, Reader, WritableChain, Writer};
use virtio_queue_core::{Chain, ChainElements, ChainError, Element, FromConfig, Head, Queue, Refused, ReturnError};
use virtio_util::{SharedQueue, SharedRing};

use super::parts::{Signals, config};
use crate::support::device::{Device, MISSING};
use crate::support::memory::Table;
use crate::support::payload::{payload, seen};
use crate::support::ring::Ring;
use crate::support::shape::{Direction, Payload};

/// A way to copy all of a payload.
pub(super) trait Way {
    fn read(reader: &mut Reader<impl ChainElements>, buf: &mut [u8]) -> Result<()>;
    fn write(writer: &mut Writer<impl ChainElements>, buf: &[u8]) -> Result<()>;
}

/// By the methods of readers and writers.
pub(super) struct Whole;

/// By the traits of the standard library.
pub(super) struct StdIo;

/// Without a copy in between, by somebody who does with the pieces what the operating system does.
pub(super) struct Transfers;

impl Way for Whole {
    #[inline]
    fn read(reader: &mut Reader<impl ChainElements>, buf: &mut [u8]) -> Result<()> {
        Ok(reader.read_exact(buf)?)
    }

    #[inline]
    fn write(writer: &mut Writer<impl ChainElements>, buf: &[u8]) -> Result<()> {
        Ok(writer.write_all(buf)?)
    }
}

impl Way for StdIo {
    #[inline]
    fn read(reader: &mut Reader<impl ChainElements>, buf: &mut [u8]) -> Result<()> {
        Ok(Read::read_exact(reader, buf)?)
    }

    #[inline]
    fn write(writer: &mut Writer<impl ChainElements>, buf: &[u8]) -> Result<()> {
        Ok(Write::write_all(writer, buf)?)
    }
}

impl Way for Transfers {
    #[inline]
    fn read(reader: &mut Reader<impl ChainElements>, buf: &mut [u8]) -> Result<()> {
        let mut rest = &mut *buf;
        let moved = reader.transfer(rest.len() as u64, |pieces| {
            for piece in pieces {
                let (part, left) = mem::take(&mut rest).split_at_mut(piece.len());
                // SAFETY: the ring's memory is there, and the driver leaves alone what is in flight; both have so many
                // bytes.
                unsafe { piece.base().cast::<u8>().copy_to_nonoverlapping(part.as_mut_ptr(), part.len()) };
                rest = left;
            }
            Ok::<_, Infallible>(pieces.iter().map(IoVec::len).sum())
        })?;
        ensure!(moved == buf.len() as u64, "the payload is too short");
        Ok(())
    }

    #[inline]
    fn write(writer: &mut Writer<impl ChainElements>, buf: &[u8]) -> Result<()> {
        let mut rest = buf;
        let moved = writer.transfer(rest.len() as u64, |pieces| {
            for piece in pieces {
                let (part, left) = rest.split_at(piece.len());
                // SAFETY: the ring's memory is there, and the driver leaves alone what is in flight; both have so many
                // bytes.
                unsafe { piece.base().cast::<u8>().copy_from_nonoverlapping(part.as_ptr(), part.len()) };
                rest = left;
            }
            Ok::<_, Infallible>(pieces.iter().map(IoVec::len).sum())
        })?;
        ensure!(moved == buf.len() as u64, "there is no room for the payload");
        Ok(())
    }
}

/// Reads the payload of a chain into `buf`, and returns what that adds to the sum.
#[inline]
fn read<W: Way>(chain: impl Chain, buf: &mut [u8]) -> Result<u64> {
    let mut chain = ReadableChain::new(chain);
    W::read(&mut chain, buf)?;
    // The drop returns the chain, with nothing written.
    Ok(seen(buf))
}

/// Writes `buf` as the payload of a chain, and returns what that adds to the sum.
#[inline]
fn write<W: Way>(chain: impl Chain, buf: &[u8]) -> Result<u64> {
    let mut chain = WritableChain::new(chain);
    W::write(&mut chain, buf)?;
    chain.return_prefix()?;
    Ok(buf.len() as u64)
}

/// A device that does all there is to do for a request.
pub(super) struct Requests<R: FromConfig, W> {
    queue: Queue<R, Signals>,
    signals: Signals,
    chains: usize,
    burst: usize,
    direction: Direction,
    buf: Vec<u8>,
    _way: PhantomData<W>,
}

impl<R: FromConfig<Mem = Table>, W: Way> Requests<R, W> {
    pub(super) fn new(ring: &Ring) -> Self {
        let signals = Signals::default();
        let queue = Queue::new(&config(ring), ring.memory.table(), signals.clone()).expect("the ring is valid");
        let Payload { bytes, direction } = ring.shape.payload.expect("the shape has one");
        let (chains, burst) = (ring.chains.len(), ring.shape.burst.into());
        Self { queue, signals, chains, burst, direction, buf: payload(0, bytes), _way: PhantomData }
    }
}

impl<R: FromConfig<Mem = Table>, W: Way> Device for Requests<R, W> {
    fn serve(&mut self) -> Result<u64> {
        let mut sum = 0_u64;
        for _ in 0..self.chains / self.burst {
            let mut burst = self.queue.burst();
            for _ in 0..self.burst {
                let Some(chain) = burst.next_chain()? else { bail!(MISSING) };
                sum = sum.wrapping_add(match self.direction {
                    Direction::Read => read::<W>(chain, &mut self.buf)?,
                    Direction::Write => write::<W>(chain, &self.buf)?,
                });
            }
            burst.finish()?;
        }
        Ok(sum)
    }

    fn signals(&self) -> u64 {
        self.signals.count()
    }
}

/// A device that does the same with owned chains, each of which is published when it is returned.
pub(super) struct Owned<R: FromConfig + SharedRing> {
    queue: SharedQueue<R, Signals>,
    signals: Signals,
    chains: usize,
    direction: Direction,
    buf: Vec<u8>,
}

impl<R: FromConfig<Mem = Table> + SharedRing> Owned<R> {
    pub(super) fn new(ring: &Ring) -> Self {
        let signals = Signals::default();
        let queue = Queue::new(&config(ring), ring.memory.table(), signals.clone()).expect("the ring is valid");
        let Payload { bytes, direction } = ring.shape.payload.expect("the shape has one");
        let (queue, chains) = (SharedQueue::new(queue), ring.chains.len());
        Self { queue, signals, chains, direction, buf: payload(0, bytes) }
    }
}

impl<R: FromConfig<Mem = Table> + SharedRing> Device for Owned<R> {
    fn serve(&mut self) -> Result<u64> {
        let mut sum = 0_u64;
        for _ in 0..self.chains {
            let Some(chain) = self.queue.next_chain()? else { bail!(MISSING) };
            sum = sum.wrapping_add(match self.direction {
                Direction::Read => read::<Whole>(chain, &mut self.buf)?,
                Direction::Write => write::<Whole>(chain, &self.buf)?,
            });
        }
        Ok(sum)
    }

    fn signals(&self) -> u64 {
        self.signals.count()
    }
}

/// A device of which only the copies are timed: chains are fetched before, and used afterwards, by the ring itself.
pub(super) struct Payloads<R: FromConfig, W> {
    ring: R,
    positions: R::Positions,
    heads: Vec<Head>,
    chains: usize,
    direction: Direction,
    buf: Vec<u8>,
    signals: u64,
    _way: PhantomData<W>,
}

impl<R: FromConfig<Mem = Table>, W: Way> Payloads<R, W> {
    pub(super) fn new(ring: &Ring) -> Self {
        let ours = R::from_config(&config(ring), ring.memory.table()).expect("the ring is valid");
        let positions = ours.activate().expect("its areas are there");
        let Payload { bytes, direction } = ring.shape.payload.expect("the shape has one");
        let (chains, buf) = (ring.chains.len(), payload(0, bytes));
        Self { ring: ours, positions, heads: Vec::new(), chains, direction, buf, signals: 0, _way: PhantomData }
    }
}

impl<R: FromConfig<Mem = Table>, W: Way> Device for Payloads<R, W> {
    fn prepare(&mut self) -> Result<()> {
        let mut in_flight = 0;
        for _ in 0..self.chains {
            let Some(head) = self.ring.fetch(&mut self.positions, in_flight)? else { bail!(MISSING) };
            in_flight += head.slots();
            self.heads.push(head);
        }
        Ok(())
    }

    fn serve(&mut self) -> Result<u64> {
        let mut sum = 0_u64;
        for head in &self.heads {
            let chain = Fetched { ring: &self.ring, head: *head };
            sum = sum.wrapping_add(match self.direction {
                Direction::Read => read::<W>(chain, &mut self.buf)?,
                Direction::Write => write::<W>(chain, &self.buf)?,
            });
        }
        Ok(sum)
    }

    fn finish(&mut self) -> Result<()> {
        let written = if self.direction == Direction::Write { u32::try_from(self.buf.len())? } else { 0 };
        for head in self.heads.drain(..) {
            self.ring.complete(&mut self.positions, head, written)?;
        }
        self.signals += u64::from(self.ring.publish(&mut self.positions)?);
        Ok(())
    }

    fn signals(&self) -> u64 {
        self.signals
    }
}

/// A chain that somebody else will return.
struct Fetched<'r, R> {
    ring: &'r R,
    head: Head,
}

impl<R: FromConfig> ChainElements for Fetched<'_, R> {
    type Mem = R::Mem;
    type Place = R::Place;

    #[inline]
    fn id(&self) -> u16 {
        self.head.id()
    }

    #[inline]
    fn mem(&self) -> &R::Mem {
        self.ring.mem()
    }

    #[inline(always)]
    fn start(&self) -> R::Place {
        self.ring.start(self.head)
    }

    #[inline(always)]
    fn next_element(&self, place: &mut R::Place) -> Option<Result<Element, ChainError>> {
        self.ring.next_element(place)
    }
}

impl<R: FromConfig> Chain for Fetched<'_, R> {
    #[inline]
    fn return_unchecked(self, _written: u32) -> Result<(), Refused<Self, ReturnError>> {
        Ok(())
    }
}
