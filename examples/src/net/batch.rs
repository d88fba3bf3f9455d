//! Fetches chains together.

use virtio_mem_traits::{Access, DriverMem};
use virtio_queue_core::{
    Chain, ChainError, DescChain, DriverNotify, FatalError, Gathered, Piece, QueueState, Ring, Token, Walk,
};

use crate::unpublished::Unpublished;
use virtio_vhost_user::{Turn, WaitsFor};

/// The number of chains that are fetched before the first of them is used. Meanwhile, their bytes move into the cache.
const BATCH: usize = 32;

/// Chains that were fetched together.
pub(super) type Batch<'m> = Gathered<'m, BATCH>;

/// The work on the chains of one queue.
pub(super) trait Packets {
    /// The access to a chain that has only a packet.
    const ACCESS: Access;

    /// Begins to move the bytes of pieces into the cache.
    fn prefetch<'m>(&mut self, pieces: impl Iterator<Item = Piece<'m>>);

    /// Moves the next packet if it belongs into this piece alone, and returns the number of written bytes.
    fn in_piece(&mut self, piece: &Piece<'_>, mem: &impl DriverMem) -> Option<u32>;

    /// Moves the next packet, or a part of it, and completes the chain. This is for any chain.
    fn in_chain<R: Ring, N: DriverNotify>(&mut self, token: Token, ring: &R, state: &mut QueueState<R, N>);
}

/// Calls `serve` with how many chains it may take, again and again while it takes that many, but not beyond `budget`.
/// If it takes none, other queues have their turn.
#[inline]
pub(super) fn in_batches(
    budget: usize,
    mut serve: impl FnMut(usize) -> Result<Turn, FatalError>,
) -> Result<Turn, FatalError> {
    let mut all = Turn { chains: 0, waits_for: WaitsFor::Turn };
    while all.chains < budget {
        let batch = serve(BATCH.min(budget - all.chains))?;
        all = Turn { chains: all.chains + batch.chains, ..batch };
        if batch.chains == 0 || batch.waits_for != WaitsFor::Turn {
            break;
        }
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

/// Serves chains until there were `limit` of them or there are no more. Those of one element, which most packets are,
/// are gathered.
///
/// # Errors
///
/// If the queue is broken.
#[inline]
pub(super) fn serve<'m, R: Ring, N: DriverNotify, M: DriverMem, P: Packets>(
    packets: &mut P,
    limit: usize,
    ring: &R,
    state: &mut QueueState<R, N>,
    mem: &'m M,
    batch: &mut Batch<'m>,
) -> Result<Turn, FatalError> {
    let mut chains = 0;
    while chains < limit {
        chains += state.gather(ring, limit - chains, mem, P::ACCESS, batch)?;
        packets.prefetch(batch.pieces());
        complete(packets, batch, ring, state, mem);
        if chains < limit {
            let Some(token) = state.fetch(ring)? else { break };
            serve_chain(packets, token, ring, state, mem);
            chains += 1;
        }
    }
    Ok(turn_of_batch(chains, limit))
}

/// Completes the chains of a batch, in their order. A broken queue reports its fault at the publication.
#[inline]
fn complete<'m, R: Ring, N: DriverNotify, M: DriverMem, P: Packets>(
    packets: &mut P,
    batch: &mut Batch<'m>,
    ring: &R,
    state: &mut QueueState<R, N>,
    mem: &'m M,
) {
    loop {
        let _ = state.complete_gathered(ring, batch, |piece| packets.in_piece(&piece, mem));
        let Some(token) = batch.pop() else { return };
        packets.in_chain(token, ring, state);
    }
}

/// Completes a chain that was not gathered.
#[inline]
fn serve_chain<R: Ring, N: DriverNotify, P: Packets>(
    packets: &mut P,
    token: Token,
    ring: &R,
    state: &mut QueueState<R, N>,
    mem: &impl DriverMem,
) {
    let chain = DescChain::new(ring, token, Unpublished(state));
    let piece = only_piece(chain.walk(), mem, P::ACCESS);
    match piece.and_then(|piece| packets.in_piece(&piece, mem)) {
        Some(written) => _ = chain.return_unchecked(written),
        None => packets.in_chain(chain.into_token(), ring, state),
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
