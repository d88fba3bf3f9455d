//! Fetches chains together.

use core::iter;

use arrayvec::ArrayVec;
use virtio_mem_traits::{Access, DriverMem};
use virtio_queue_core::{
    ChainError, DescChain, DriverNotify, FatalError, Gathered, Piece, QueueState, Ring, Token, Walk,
};

use crate::unpublished::Unpublished;
use crate::{Turn, WaitsFor};

/// The number of chains that are fetched before the first of them is used. Meanwhile, their bytes move into the cache.
const BATCH: usize = 32;

/// A fetched chain.
pub(super) struct Fetched<'m> {
    token: Token,
    /// Its memory, if it is a single element in one piece.
    pub(super) piece: Option<Piece<'m>>,
}

/// Calls `serve` with how many chains it may take, again and again while it takes that many, but not beyond `budget`.
#[inline]
pub(super) fn in_batches(
    budget: usize,
    mut serve: impl FnMut(usize) -> Result<Turn, FatalError>,
) -> Result<Turn, FatalError> {
    let mut all = Turn { chains: 0, waits_for: WaitsFor::Turn };
    while all.waits_for == WaitsFor::Turn && all.chains < budget {
        let batch = serve(BATCH.min(budget - all.chains))?;
        all = Turn { chains: all.chains + batch.chains, ..batch };
    }
    Ok(all)
}

/// Returns how it went with a queue from which `chains` could be fetched where the device had a use for `limit`.
#[inline]
pub(super) fn turn_of_batch(chains: usize, limit: usize) -> Turn {
    let waits_for = match limit {
        0 => WaitsFor::Device,
        limit if chains < limit => WaitsFor::Driver,
        _ => WaitsFor::Turn,
    };
    Turn { chains, waits_for }
}

/// Chains that were fetched together.
pub(super) type Batch<'m> = ArrayVec<Fetched<'m>, BATCH>;

/// Fetches chains into `batch` until it holds `limit` of them or there are no more. Those of one element, which most
/// packets are, are gathered.
///
/// # Errors
///
/// If the queue is broken.
#[inline]
pub(super) fn fetch<'m, R: Ring, N: DriverNotify>(
    batch: &mut Batch<'m>,
    limit: usize,
    ring: &R,
    state: &mut QueueState<R, N>,
    mem: &'m impl DriverMem,
    access: Access,
) -> Result<(), FatalError> {
    while batch.len() < limit {
        state.gather(ring, limit - batch.len(), mem, access, |chain| batch.push(Fetched::from(chain)))?;
        if batch.len() < limit {
            let Some(token) = state.fetch(ring)? else { break };
            let chain = DescChain::new(ring, token, Unpublished(state));
            let piece = only_piece(chain.walk(), mem, access);
            batch.push(Fetched { token: chain.into_token(), piece });
        }
    }
    Ok(())
}

impl<'m> From<Gathered<'m>> for Fetched<'m> {
    #[inline]
    fn from(chain: Gathered<'m>) -> Self {
        Self { piece: Some(chain.piece()), token: chain.into_token() }
    }
}

/// Completes the chains of a batch, in their order. `work` completes a single piece, and returns the number of written
/// bytes. `otherwise` completes all other chains, and those that `work` refuses.
#[inline]
pub(super) fn complete<D, R: Ring, N: DriverNotify>(
    batch: Batch<'_>,
    device: &mut D,
    ring: &R,
    state: &mut QueueState<R, N>,
    mut work: impl FnMut(&mut D, &Piece<'_>) -> Option<u32>,
    mut otherwise: impl FnMut(&mut D, Token, &mut QueueState<R, N>),
) {
    let mut chains = batch.into_iter();
    loop {
        let mut other = None;
        let pieces = iter::from_fn(|| {
            let Fetched { token, piece } = chains.next()?;
            match piece.and_then(|piece| work(device, &piece)) {
                Some(written) => Some((token, written)),
                None => {
                    other = Some(token);
                    None
                }
            }
        });
        // A broken queue reports its fault at the publication.
        let _ = state.complete_all(ring, pieces);
        let Some(token) = other else { return };
        otherwise(device, token, state);
    }
}

/// The chain is malformed, or has more than one piece.
struct Otherwise;

impl From<ChainError> for Otherwise {
    fn from(_: ChainError) -> Self {
        Self
    }
}

/// Returns the memory of a chain with one element, if it is in one piece and for this access.
#[inline]
fn only_piece<'m>(chain: impl Walk, mem: &'m impl DriverMem, access: Access) -> Option<Piece<'m>> {
    let only = |found: Option<_>, piece| if found.is_none() { Ok(Some(piece)) } else { Err(Otherwise) };
    chain.try_fold_pieces(mem, None, only).ok()?.filter(|piece: &Piece<'_>| piece.access == access)
}
