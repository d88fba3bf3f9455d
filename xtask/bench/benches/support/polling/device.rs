//! The devices: they serve what is available, at most [`BURST`] chains at a time, until `end` is set and nothing is
//! available.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use virtio_queue_core::packed::PackedRing;
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{FromConfig, Piece, Queue};

use super::buffer::{BURST, Content};
use crate::support::device::ours::parts::{Signals, config};
use crate::support::device::raw::RawRing;
use crate::support::device::raw::packed::RawPacked;
use crate::support::device::raw::split::RawSplit;
use crate::support::memory::{LookUp, Table};
use crate::support::ring::Ring;

pub(super) fn split(ring: &Ring, end: &AtomicBool) -> Result<()> {
    ours::<SplitRing<Table>>(ring, end)
}

pub(super) fn packed(ring: &Ring, end: &AtomicBool) -> Result<()> {
    ours::<PackedRing<Table>>(ring, end)
}

pub(super) fn raw_split(ring: &Ring, end: &AtomicBool) -> Result<()> {
    // SAFETY: (1) `ring` outlives this call; (2) the benchmark's driver does that.
    raw(unsafe { RawSplit::new(ring) }, end);
    Ok(())
}

pub(super) fn raw_packed(ring: &Ring, end: &AtomicBool) -> Result<()> {
    // SAFETY: (1) `ring` outlives this call; (2) the benchmark's driver does that.
    raw(unsafe { RawPacked::new(ring) }, end);
    Ok(())
}

fn ours<R: FromConfig<Mem = Table>>(ring: &Ring, end: &AtomicBool) -> Result<()> {
    let table = ring.memory.table();
    let mem = table.look_up();
    let mut queue = Queue::<R, _>::new(&config(ring), ring.memory.table(), Signals::default())?;
    queue.suppress_notifications();
    let (number, mut failed) = (Cell::new(0), None);
    let fill = |_, piece: Piece<'_>| {
        piece.memory.write::<Content>(0, &[number.get(); 8])?;
        anyhow::Ok(u32::try_from(piece.memory.len())?)
    };
    loop {
        let served = queue.serve(BURST.into(), &mem, 0, fill, |filled| {
            number.set(number.get() + 1);
            filled.unwrap_or_else(|error| {
                failed = Some(error);
                0
            })
        })?;
        if served == 0 && end.load(Ordering::Acquire) {
            return failed.map_or(Ok(()), Err);
        }
    }
}

fn raw<R: RawRing>(ring: R, end: &AtomicBool) {
    let (mut position, mut number) = (R::start(), 0);
    loop {
        let served = ring.burst(position, BURST, |host, _len| {
            let host = usize::try_from(host).expect("this is a 64-bit machine");
            let buffer: *mut Content = ptr::with_exposed_provenance_mut(host);
            // SAFETY: what the driver says is true: this is a buffer of that size, aligned, and nobody else accesses it
            // now.
            unsafe { buffer.write([number; 8]) };
            number += 1;
        });
        position = served.position;
        if served.chains == 0 && end.load(Ordering::Acquire) {
            return;
        }
    }
}
