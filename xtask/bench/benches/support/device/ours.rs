//! The devices that are made of the crates of this workspace.

mod bursts;
mod gathered;
mod packets;
pub(crate) mod parts;
mod payloads;
mod served;
mod shared;
mod stream;
mod tokens;

use std::sync::Arc;

use virtio_mem_traits::HeapMem;
use virtio_queue_core::packed::PackedRing;
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{AnyRing, FromConfig, InOrderRing, OrderSlot};

use self::bursts::Bursts;
use self::gathered::Bulk;
use self::packets::Packets;
use self::payloads::{Owned, Payloads, Requests, StdIo, Transfers, Whole};
use self::served::Served;
use self::shared::Shared;
use self::stream::Streamed;
use self::tokens::Tokens;
use super::{Contender, Device};
use crate::support::memory::{Guest, Table};
use crate::support::ring::{Reports, Ring};
use crate::support::shape::Format::{Packed, Split};

type InSplit = SplitRing<Table>;
type InPacked = PackedRing<Table>;
type InEither = AnyRing<Table>;
type BatchedSplit = InOrderRing<InSplit, Vec<OrderSlot>>;
type BatchedPacked = InOrderRing<InPacked, Vec<OrderSlot>>;

pub(crate) const SPLIT: Contender = Contender::new("split", Split, served::<InSplit>);
pub(crate) const PACKED: Contender = Contender::new("packed", Packed, served::<InPacked>);
pub(crate) const ANY_SPLIT: Contender = Contender::new("any-split", Split, served::<InEither>);
pub(crate) const ANY_PACKED: Contender = Contender::new("any-packed", Packed, served::<InEither>);
pub(crate) const SPLIT_BULK: Contender =
    Contender::new("split-bulk", Split, |ring| Box::new(Bulk::<InSplit>::new(ring)));
pub(crate) const PACKED_BULK: Contender =
    Contender::new("packed-bulk", Packed, |ring| Box::new(Bulk::<InPacked>::new(ring)));
pub(crate) const ANY_SPLIT_BULK: Contender =
    Contender::new("any-split-bulk", Split, |ring| Box::new(Bulk::<InEither>::new(ring)));
pub(crate) const ANY_PACKED_BULK: Contender =
    Contender::new("any-packed-bulk", Packed, |ring| Box::new(Bulk::<InEither>::new(ring)));
pub(crate) const SPLIT_BULK_IN_ORDER: Contender = Contender {
    reports: Reports::Batches,
    ..Contender::new("split-bulk-in-order", Split, |ring| Box::new(Bulk::<BatchedSplit>::new(ring)))
};
pub(crate) const PACKED_BULK_IN_ORDER: Contender = Contender {
    reports: Reports::Batches,
    ..Contender::new("packed-bulk-in-order", Packed, |ring| Box::new(Bulk::<BatchedPacked>::new(ring)))
};
pub(crate) const SPLIT_CHAINS: Contender = Contender::new("split-chains", Split, bursts::<InSplit>);
pub(crate) const PACKED_CHAINS: Contender = Contender::new("packed-chains", Packed, bursts::<InPacked>);
pub(crate) const SPLIT_FLAT: Contender = Contender::new("split-flat", Split, flat::<SplitRing<Arc<HeapMem>>>);
pub(crate) const PACKED_FLAT: Contender = Contender::new("packed-flat", Packed, flat::<PackedRing<Arc<HeapMem>>>);
pub(crate) const SPLIT_CACHE: Contender = Contender::new("split-cache", Split, cache::<SplitRing<Arc<Table>>>);
pub(crate) const PACKED_CACHE: Contender = Contender::new("packed-cache", Packed, cache::<PackedRing<Arc<Table>>>);

pub(crate) const SPLIT_GUEST: Contender = Contender::new("split-guest", Split, guest::<SplitRing<Guest>>);
pub(crate) const PACKED_GUEST: Contender = Contender::new("packed-guest", Packed, guest::<PackedRing<Guest>>);

pub(crate) const SPLIT_TOKENS: Contender = Contender::new("split", Split, tokens::<InSplit>);
pub(crate) const PACKED_TOKENS: Contender = Contender::new("packed", Packed, tokens::<InPacked>);
pub(crate) const SPLIT_IN_ORDER: Contender =
    Contender { reports: Reports::Batches, ..Contender::new("split-in-order", Split, tokens::<BatchedSplit>) };
pub(crate) const PACKED_IN_ORDER: Contender =
    Contender { reports: Reports::Batches, ..Contender::new("packed-in-order", Packed, tokens::<BatchedPacked>) };

pub(crate) const SPLIT_SHARED: Contender =
    Contender::new("split", Split, |ring| Box::new(Shared::<InSplit>::new(ring)));
pub(crate) const PACKED_SHARED: Contender =
    Contender::new("packed", Packed, |ring| Box::new(Shared::<InPacked>::new(ring)));
pub(crate) const SPLIT_STREAM: Contender =
    Contender::new("split", Split, |ring| Box::new(Streamed::<InSplit>::new(ring)));
pub(crate) const PACKED_STREAM: Contender =
    Contender::new("packed", Packed, |ring| Box::new(Streamed::<InPacked>::new(ring)));

pub(crate) const COPY: &[Contender] = &[
    Contender::new("chain", Split, |ring| Box::new(Payloads::<InSplit, Whole>::new(ring))),
    Contender::new("chain-packed", Packed, |ring| Box::new(Payloads::<InPacked, Whole>::new(ring))),
    Contender::new("std-io", Split, |ring| Box::new(Payloads::<InSplit, StdIo>::new(ring))),
    Contender::new("transfer", Split, |ring| Box::new(Payloads::<InSplit, Transfers>::new(ring))),
];
pub(crate) const OWNED: &[Contender] = &[
    Contender::new("chain", Split, |ring| Box::new(Requests::<InSplit, Whole>::new(ring))),
    Contender::new("chain-packed", Packed, |ring| Box::new(Requests::<InPacked, Whole>::new(ring))),
    Contender::new("owned", Split, |ring| Box::new(Owned::<InSplit>::new(ring))),
    Contender::new("owned-packed", Packed, |ring| Box::new(Owned::<InPacked>::new(ring))),
];
pub(crate) const SPLIT_PACKETS: Contender =
    Contender::new("split", Split, |ring| Box::new(Packets::<InSplit>::new(ring)));
pub(crate) const PACKED_PACKETS: Contender =
    Contender::new("packed", Packed, |ring| Box::new(Packets::<InPacked>::new(ring)));
pub(crate) const REQUEST: &[Contender] = &[
    Contender::new("chain", Split, |ring| Box::new(Requests::<InSplit, Whole>::new(ring))),
    Contender::new("chain-packed", Packed, |ring| Box::new(Requests::<InPacked, Whole>::new(ring))),
    Contender::new("std-io", Split, |ring| Box::new(Requests::<InSplit, StdIo>::new(ring))),
    Contender::new("transfer", Split, |ring| Box::new(Requests::<InSplit, Transfers>::new(ring))),
];

fn served<R: FromConfig<Mem = Table> + 'static>(ring: &Ring) -> Box<dyn Device> {
    Box::new(Served::<R>::new(ring, ring.memory.table()))
}

fn bursts<R: FromConfig<Mem = Table> + 'static>(ring: &Ring) -> Box<dyn Device> {
    Box::new(Bursts::<R>::new(ring))
}

/// Returns a device on memory that is a single region, and nothing else.
fn flat<R: FromConfig<Mem = Arc<HeapMem>> + 'static>(ring: &Ring) -> Box<dyn Device> {
    Box::new(Served::<R>::new(ring, ring.memory.flat()))
}

/// Returns a device that remembers a region.
fn cache<R: FromConfig<Mem = Arc<Table>> + 'static>(ring: &Ring) -> Box<dyn Device> {
    Box::new(Served::<R>::new(ring, Arc::new(ring.memory.table())))
}

/// Returns a device on memory of vm-memory.
fn guest<R: FromConfig<Mem = Guest> + 'static>(ring: &Ring) -> Box<dyn Device> {
    Box::new(Served::<R>::new(ring, ring.memory.guest()))
}

fn tokens<R: FromConfig<Mem = Table> + 'static>(ring: &Ring) -> Box<dyn Device> {
    Box::new(Tokens::<R>::new(ring))
}
