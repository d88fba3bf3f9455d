//! Runs the virtqueues of this workspace in the framework [`vhost-user-backend`](https://docs.rs/vhost-user-backend).
//!
//! The framework speaks vhost-user with the front end, maps the memory of the guest, and waits for kicks. The device
//! handles the rings. By default, devices use the split queues of rust-vmm. A device with the type [`Vring`] of this
//! crate has queues of either format. They have owned chains, limits on everything that a driver can request, and typed
//! errors.
//!
//! # A device
//!
//! A device implements `VhostUserBackend`, as usual. It passes features and memory changes on to its [`Queues`], and
//! processes each chain. This device answers each text from the driver in upper case:
//!
//! ```
//! use std::io::{self, Read, Write};
//! use std::sync::Arc;
//!
//! use vhost::vhost_user::message::VhostUserProtocolFeatures;
//! use vhost_user_backend::{VhostUserBackend, VhostUserDaemon};
//! use virtio_chain::ReadableChain;
//! use virtio_util::OwnedChain;
//! use virtio_vhost_user_backend::{GuestMem, Queues, Vring, VringMem};
//! use vm_memory::GuestMemoryMmap;
//! use vmm_sys_util::epoll::EventSet;
//! use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};
//!
//! #[derive(Default)]
//! struct UpperCase {
//!     queues: Queues,
//! }
//!
//! fn answer(chain: OwnedChain<VringMem>) -> io::Result<()> {
//!     let mut request = ReadableChain::new(chain);
//!     let mut text = Vec::new();
//!     Read::take(&mut *request, 4096).read_to_end(&mut text)?;
//!     let mut answer = request.into_writable().map_err(io::Error::other)?;
//!     text.make_ascii_uppercase();
//!     answer.write_all(&text).map_err(io::Error::other)?;
//!     answer.return_prefix().map_err(io::Error::other)
//! }
//!
//! impl VhostUserBackend for UpperCase {
//!     type Bitmap = ();
//!     type Vring = Vring;
//!
//!     fn handle_event(&self, event: u16, _: EventSet, vrings: &[Vring], _: usize) -> io::Result<()> {
//!         let Some(vring) = vrings.get(usize::from(event)) else { return Ok(()) };
//!         let served = self.queues.serve(vring, |chain| {
//!             // A malformed chain has returned with nothing written.
//!             let _ = answer(chain);
//!         });
//!         if let Err(error) = served {
//!             eprintln!("vring {event}: {error}"); // Reported once. Do not return it: that would end the thread.
//!         }
//!         Ok(())
//!     }
//!
//!     fn acked_features(&self, features: u64) {
//!         self.queues.set_features(features);
//!     }
//!
//!     fn update_memory(&self, _: GuestMem) -> io::Result<()> {
//!         self.queues.update_memory();
//!         Ok(())
//!     }
//!
//!     fn features(&self) -> u64 {
//!         // VERSION_1, RING_PACKED, EVENT_IDX, INDIRECT_DESC, and bit 30 for protocol features.
//!         1 << 32 | 1 << 34 | 1 << 29 | 1 << 28 | 1 << 30
//!     }
//!
//!     fn protocol_features(&self) -> VhostUserProtocolFeatures {
//!         VhostUserProtocolFeatures::REPLY_ACK
//!     }
//!
//!     fn num_queues(&self) -> usize {
//!         1
//!     }
//!
//!     fn max_queue_size(&self) -> usize {
//!         256
//!     }
//!
//!     fn set_event_idx(&self, _: bool) {} // `acked_features` has it.
//!
//!     fn exit_event(&self, _: usize) -> Option<(EventConsumer, EventNotifier)> {
//!         new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()
//!     }
//! }
//!
//! let memory = GuestMem::new(GuestMemoryMmap::new());
//! let mut daemon = VhostUserDaemon::new("upper-case".into(), Arc::new(UpperCase::default()), memory)?;
//! # if false {
//! daemon.serve("/run/upper-case.sock")?;
//! # }
//! # Ok::<_, vhost_user_backend::Error>(())
//! ```
//!
//! A device with long operations moves its chains to other threads, and returns immediately from `handle_event`. Chains
//! are `Send`, and can return in any order. A device that completes each chain immediately can avoid the copy of the
//! elements: call [`burst`](VringQueue::burst) on the queue from [`Queues::queue`].
//!
//! # Events in the life of a vring
//!
//! * **The queue is created** by the first [`serve`](Queues::serve) or [`queue`](Queues::queue) after the front end has
//!   started and enabled the vring. It uses the current size, addresses and features. It signals the driver once.
//! * **The front end disables the vring**: after the reply to the front end, the queue fetches no chain. Chains that
//!   are out can still return.
//! * **The front end stops the vring** (`GET_VRING_BASE`): the queue fetches no more chains. The framework calls
//!   `stop_vring` of the device. Then the front end waits until no chain is out. If the device keeps idle chains, such
//!   as receive buffers, it must put them back in `stop_vring`, the last one first
//!   ([`unfetch`](virtio_util::OwnedChain::unfetch)). If a chain never returns, the front end waits forever.
//! * **Memory is added, removed or replaced**: queues move to the new memory. Chains that are out keep the old memory
//!   mapped, and can still return. If the new memory does not contain the rings of a queue, the queue is paused until a
//!   later memory does.
//! * **The front end sets another eventfd for calls**: see [`Call`].
//! * **The queue breaks, or cannot be created**: one call returns the error, and the error eventfd of the front end is
//!   signalled. Then the vring does nothing until the front end stops and starts it again.
//!
//! # Limits of the framework
//!
//! * It cuts bases to 16 bits. This is enough, because a vring stops only when no chain is in flight. Then both
//!   positions of a packed ring are the same. A base that another back end saved with chains in flight cannot be
//!   restored.
//! * There is no inflight region (INFLIGHT_SHMFD). If the back end is killed, the record of the chains in flight is
//!   lost, and these chains do not return to the driver.
//! * An `Err` from `handle_event` ends the thread and all of its vrings. So does a kick descriptor that is not an
//!   eventfd.
//! * The framework does not wait on a new kick eventfd for a running vring. The front end must stop the vring first.
//! * New sizes or addresses have no effect on a running vring. A new base ends its queue. The queue then refuses the
//!   return of chains that are out.
//! * A front end can make its own eventfds block, and fill them. This blocks all vrings of the thread that signals.
//! * Without `exit_event`, a drop of the daemon waits forever for its threads.
//! * The `virtio_queue::Queue` in the settings ignores sizes that are not a power of two, and does not expose its error
//!   eventfd. A [`Vring`] supports both: packed rings can have any size, and [`Vring::signal_error`] signals the
//!   eventfd.
//!
//! # Dirty log
//!
//! To mark all writes of the device to buffers and rings in the log of the front end, use `BitmapMmapRegion` of
//! `vhost-user-backend` as the type `Bitmap`, and `Vring<BitmapMmapRegion>` as the type `Vring`.
//!
//! # Versions
//!
//! The items at the root of the crate are for `vhost-user-backend` 0.24, with vm-memory 0.18. With the feature
//! `vhost-user-backend-0-22`, the module `v0_22` has the same items for version 0.22, with vm-memory 0.17.1. The same
//! tests run for both versions.
//!
//! # Features
//!
//! | feature | default | what it adds | what it needs |
//! | --- | --- | --- | --- |
//! | `vhost-user-backend-0-22` | no | the module `v0_22` | vhost-user-backend 0.22, vm-memory 0.17.1 and no other 0.17 |
//!
//! # Moving a device
//!
//! The guide `docs/guides/from-rust-vmm.md` of the repository shows a device before and after the move. It also lists
//! our call for each call of `virtio-queue`.
//!
//! # When not to use it
//!
//! If the limits of the framework above are a problem, in particular for block devices that must survive a kill.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![cfg_attr(
    feature = "vhost-user-backend-0-22",
    allow(clippy::duplicate_mod, reason = "one source for two versions of the framework")
)]

extern crate alloc;

mod call;
mod error;
mod queues;
mod setup;
mod state;
mod types;
#[cfg(feature = "vhost-user-backend-0-22")]
pub mod v0_22;
mod vring;

/// The version of the framework that the modules of the crate use.
mod framework {
    pub(crate) use {::vhost_user_backend, ::virtio_queue, ::vm_memory};
}

pub use self::call::Call;
pub use self::error::VringError;
pub use self::queues::Queues;
pub use self::types::{GuestMem, VringBitmap, VringMem, VringQueue};
pub use self::vring::Vring;

/// Compiles and runs the guide for users of rust-vmm with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/from-rust-vmm.md")]
struct Guide;
