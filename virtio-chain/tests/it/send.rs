//! What a task may hold while it waits: everything that its chain lets it.
//!
//! The compiler checks this. Each function demands that its future can move between threads.

use std::sync::Arc;

use virtio_chain::{Lent, ReadableChain, Reader, Tail, WritableChain, Writer};
use virtio_fake_driver::{DriverChain, SplitFixtureOptions};
use virtio_mem_traits::HeapMem;
use virtio_queue_core::packed::PackedRing;
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{AnyRing, BurstChain, Chain, OrderSlot, OrderedRing, QueueChain};
use virtio_util::{NotificationCounter, OwnedChain, SharedQueue};

const fn check<T: Send>(future: T) -> T {
    future
}

async fn tick() {}

/// One half after the other, each held across a wait.
async fn one_after_the_other<C: Chain + Send>(chain: C) {
    let mut readable = ReadableChain::new(chain);
    tick().await;
    let _ = readable.read(&mut [0]);
    tick().await;
    let mut writable = WritableChain::from_incomplete_readable(readable);
    tick().await;
    let _ = writable.write(&[0]);
    tick().await;
    let _ = writable.return_prefix();
}

/// Both halves at a time, held across a wait beside the chain that they borrow.
async fn both_halves<C: Chain + Send + Sync>(chain: C) {
    let (mut reader, mut writer) = (Reader::new(&chain), Writer::new(&chain));
    tick().await;
    let _ = reader.read(&mut [0]);
    tick().await;
    let _ = writer.write(&[0]);
    tick().await;
    let written = writer.prefix();
    let _ = chain.return_unchecked(written);
}

/// Pieces that are lent and a part that waits for them, beside the chain that owns both.
async fn lent<C: Chain + Send>(chain: C) {
    let mut writable = WritableChain::new(chain);
    let Ok(status) = writable.split_last(1) else { return };
    let Ok(lent) = writable.lend(512) else { return };
    tick().await;
    let _ = writable.settle(lent, 1);
    tick().await;
    let _ = writable.join(status);
}

/// In generic code, nothing is known of the chain but that it is `Send`.
fn generic<C: Chain + Send + 'static>(chain: C) -> impl Future<Output = ()> + Send {
    check(one_after_the_other(chain))
}

/// The same for pieces.
fn generic_lent<C: Chain + Send + 'static>(chain: C) -> impl Future<Output = ()> + Send {
    check(lent(chain))
}

/// The same for both halves.
fn generic_both<C: Chain + Send + Sync + 'static>(chain: C) -> impl Future<Output = ()> + Send {
    check(both_halves(chain))
}

/// A chain of any kind, owned and shared by reference.
fn concrete<C: Chain + Send + Sync>(chain: C, other: C) {
    drop((check(one_after_the_other(chain)), check(both_halves(other))));
}

type Mem = Arc<HeapMem>;
type Notify = Arc<NotificationCounter>;
type OrderedPacked = OrderedRing<PackedRing<Mem>, Vec<OrderSlot>>;

#[test]
fn chains_of_bytes_are_send_whenever_their_chains_are() {
    fn plain_data<T: Send + Sync + Unpin + 'static>() {}
    fn is_send<C: Chain + Send + Sync + 'static>() {
        let _ = (concrete::<C>, generic::<C>, generic_both::<C>, generic_lent::<C>);
    }
    plain_data::<Lent>();
    plain_data::<Tail<OwnedChain<Mem>>>();
    is_send::<QueueChain<'static, SplitRing<Mem>, Notify>>();
    is_send::<QueueChain<'static, PackedRing<Mem>, Notify>>();
    is_send::<QueueChain<'static, AnyRing<Mem>, Notify>>();
    is_send::<BurstChain<'static, AnyRing<Mem>, Notify>>();
    is_send::<QueueChain<'static, OrderedPacked, Notify>>();
    is_send::<OwnedChain<Mem>>();
}

/// A request that was lent to another thread.
struct InFlight {
    chain: WritableChain<OwnedChain<Mem>>,
    lent: Lent,
}

/// SPLIT-USED-2: a chain and what it has lent travel together, and are settled wherever they are.
#[test]
fn lent_beside_its_owned_chain_settled_on_another_thread() {
    let mut fixture = SplitFixtureOptions { size: 8, ..Default::default() }.build_plain().unwrap();
    fixture.driver.add(&DriverChain::new().writable(4).writable(5)).unwrap();
    let queue = SharedQueue::new(fixture.queue);
    let mut chain = WritableChain::new(queue.next_chain().unwrap().unwrap());
    let lent = chain.lend(8).unwrap();
    let request = InFlight { chain, lent };
    let worker = std::thread::spawn(move || {
        let InFlight { mut chain, lent } = request;
        chain.settle(lent, 8).unwrap();
        chain.write_all(b"!").unwrap();
        chain.return_complete().unwrap();
    });
    worker.join().unwrap();
    assert_eq!(fixture.driver.reap().unwrap().unwrap().len, 9);
}
