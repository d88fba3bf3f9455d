//! The rings whose queues can be shared.

use virtio_queue_core::Ring;

/// A ring whose queue can be shared. Every ring that can be sent to another thread with its memory is one.
///
/// The rings of virtio-queue-core need a memory handle that is `StableMem + Send + 'static`. The usual handle is an
/// `Arc` of a memory.
#[diagnostic::on_unimplemented(
    message = "a queue on a `{Self}` cannot be shared between threads",
    label = "must be a ring that can be sent to another thread",
    note = "the first type parameter is a ring: write `SharedAnyQueue<M, N>` for an `AnyQueue<M, N>`, and \
            `SharedQueue<SplitRing<M>, N>` for a `SplitQueue<M, N>`",
    note = "the memory handle must be `Send + 'static`: an `Arc<M>` is, a `&M` and an `Rc<M>` are not",
    note = "in tests, `AnyFixture::new` and `build` use an `Rc`: call `AnyFixtureOptions::build_plain`, which uses an \
            `Arc`"
)]
pub trait SharedRing: Ring<Mem: Clone, Positions: Send> + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<R: Ring<Mem: Clone, Positions: Send> + Send + 'static> SharedRing for R {}
