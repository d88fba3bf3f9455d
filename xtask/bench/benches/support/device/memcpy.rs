//! The limit for payloads: `memcpy`, and nothing else.

use std::ptr::copy_nonoverlapping;
use std::sync::Arc;

use anyhow::Result;

use super::raw::split::RawSplit;
use super::{Contender, Device};
use crate::support::memory::Memory;
use crate::support::payload::{payload, seen};
use crate::support::ring::{Addresses, Buffer, Ring, Used};
use crate::support::shape::{Direction, Format, Payload};

pub(crate) const MEMCPY: Contender = Contender {
    addresses: Addresses::Direct,
    ..Contender::new("memcpy", Format::Split, |ring| Box::new(Memcpy::new(ring)))
};

/// A device that knows in advance where the payloads are. It copies them piece by piece, as they lie there, between the
/// same memory and the same buffer as everybody else. Chains are used afterwards, so that the driver finds what it
/// expects.
struct Memcpy {
    raw: RawSplit,
    position: u16,
    chains: Vec<(Used, Vec<Piece>)>,
    buf: Vec<u8>,
    direction: Direction,
    signals: u64,
    _memory: Arc<Memory>,
}

#[derive(Clone, Copy)]
struct Piece {
    ptr: *mut u8,
    len: usize,
}

impl Memcpy {
    fn new(ring: &Ring) -> Self {
        let Payload { bytes, direction } = ring.shape.payload.expect("the shape has one");
        let chains = ring.chains.iter().map(|chain| {
            let piece = |buffer: &Buffer| {
                let len = buffer.len as usize;
                Piece { ptr: ring.memory.range(buffer.addr, len).as_ptr().as_ptr(), len }
            };
            (ring.used_by(chain), chain.buffers.iter().map(piece).collect())
        });
        Self {
            // SAFETY: (1) this device keeps the memory; (2) the benchmark's driver does that.
            raw: unsafe { RawSplit::new(ring) },
            position: 0,
            chains: chains.collect(),
            buf: payload(0, bytes),
            direction,
            signals: 0,
            _memory: Arc::clone(&ring.memory),
        }
    }
}

impl Device for Memcpy {
    fn serve(&mut self) -> Result<u64> {
        let mut sum = 0_u64;
        for (_, pieces) in &self.chains {
            let mut buf = self.buf.as_mut_ptr();
            for Piece { ptr, len } in pieces {
                match self.direction {
                    // SAFETY: a piece is memory of the driver, which is not accessed otherwise during a pass; all
                    // pieces of a chain together are as long as the buffer, which nobody else has.
                    Direction::Read => unsafe { copy_nonoverlapping(*ptr, buf, *len) },
                    // SAFETY: as above.
                    Direction::Write => unsafe { copy_nonoverlapping(buf, *ptr, *len) },
                }
                buf = buf.wrapping_add(*len);
            }
            sum = sum.wrapping_add(match self.direction {
                Direction::Read => seen(&self.buf),
                Direction::Write => self.buf.len() as u64,
            });
        }
        Ok(sum)
    }

    fn finish(&mut self) -> Result<()> {
        let start = self.position;
        for (Used { id, len }, _) in &self.chains {
            self.raw.use_head(self.position, *id, *len);
            self.position = self.position.wrapping_add(1);
        }
        self.raw.publish(self.position);
        self.signals += u64::from(self.raw.wants_signal(self.position, self.position.wrapping_sub(start)));
        Ok(())
    }

    fn signals(&self) -> u64 {
        self.signals
    }
}
