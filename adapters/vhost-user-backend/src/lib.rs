//! Virtqueues of this workspace for devices in the framework
//! [`vhost-user-backend`](https://docs.rs/vhost-user-backend).
//!
//! That crate speaks vhost-user with the front end, maps the guest's memory, waits for kicks, and leaves the rings to
//! the device. As it is, its devices have the split queues of rust-vmm. With a [`Vring`] as their type `Vring` they
//! have queues of either format, with owned chains, bounds on all that a driver can ask for, and typed errors.
//!
//! # A device
//!
//! It is a `VhostUserBackend` like any other. What it is told it tells its [`Queues`], and what it does with a chain is
//! up to it. This one answers with the upper case of what the driver sends:
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
//!             // A malformed chain has gone back with nothing written.
//!             let _ = answer(chain);
//!         });
//!         if let Err(error) = served {
//!             eprintln!("vring {event}: {error}"); // Once, and not as a result: that would end the thread.
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
//!     fn set_event_idx(&self, _: bool) {} // It is among the features.
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
//! A device that takes time moves the chains to other threads, and returns at once: they are `Send`, and return in any
//! order. A device that is done with each chain at once can spare the copy of the elements, and takes a
//! [burst](VringQueue::burst) of [`Queues::queue`].
//!
//! # When things happen
//!
//! * **The queue is made** at the first [`serve`](Queues::serve) or [`queue`](Queues::queue) after the front end has
//!   started and enabled the vring. Size, addresses and features are those of that moment. It signals the driver once.
//! * **The front end disables the vring**: nothing is fetched any more when it has its answer. Chains that are out
//!   return.
//! * **The front end stops the vring** (`GET_VRING_BASE`): nothing is fetched any more, `stop_vring` of the device is
//!   called, and then the front end waits until no chain is out. So a device that keeps chains without work to do, such
//!   as receive buffers, puts them back in `stop_vring`, the last one first
//!   ([`unfetch`](virtio_util::OwnedChain::unfetch)). A chain that never returns lets the front end wait for ever.
//! * **Memory is added, removed or replaced**: queues go on in the new memory. Chains that are out keep the old one
//!   mapped and return as ever. A queue whose rings are not in the new memory is paused until they are.
//! * **The front end names another eventfd for calls**: see [`Call`].
//! * **The queue breaks, or cannot be made**: the error is returned once, and the front end's error eventfd is
//!   signalled. The vring is silent until it is stopped and started again.
//!
//! # What the framework does not let through
//!
//! * It cuts bases to 16 bits. That is enough: a vring stops when nothing is in flight, where both positions of a
//!   packed ring are the same. A base that was saved elsewhere with chains in flight is not restored.
//! * There is no inflight region (INFLIGHT_SHMFD): after a kill of the back end, nobody knows which chains were in
//!   flight, and the driver does not get them back.
//! * An `Err` of `handle_event` ends the thread, and with it all of its vrings. So does a kick that is no eventfd.
//! * Another kick eventfd for a vring that runs is not waited for: the front end must stop the vring first.
//! * A message that a front end sends again with other sizes or addresses has no effect on a vring that runs. Another
//!   base ends its queue; returns of chains that are out are refused then.
//! * A front end can let its own eventfds block, and fill them. That holds up the vrings of the thread that signals.
//! * Without `exit_event`, the drop of the daemon waits for its threads for ever.
//! * The `virtio_queue::Queue` in the settings ignores sizes that are no power of two, and its error eventfd is out of
//!   reach. A [`Vring`] has both: packed rings can have any size, and [`Vring::signal_error`] signals.
//!
//! # Dirty log
//!
//! With `BitmapMmapRegion` of `vhost-user-backend` as the type `Bitmap`, and so `Vring<BitmapMmapRegion>`, all that the
//! device writes into buffers and rings is marked in the front end's log.
//!
//! # Versions
//!
//! The items of the crate itself are for `vhost-user-backend` 0.24, with vm-memory 0.18. With the feature
//! `vhost-user-backend-0-22`, the module `v0_22` has the same items for version 0.22, with vm-memory 0.17.1. Both are
//! tested alike.
//!
//! # Features
//!
//! | feature | default | what it adds | what it needs |
//! | --- | --- | --- | --- |
//! | `vhost-user-backend-0-22` | no | the module `v0_22` | vhost-user-backend 0.22, vm-memory 0.17.1 and no other 0.17 |
//!
//! # Moving a device
//!
//! The guide `docs/guides/from-rust-vmm.md` of the repository has a device before and after, and our call for each
//! call of `virtio-queue`.
//!
//! # When not to use it
//!
//! Where the framework's limits above are in the way, in particular for block devices that are to survive a kill.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![cfg_attr(
    feature = "vhost-user-backend-0-22",
    allow(clippy::duplicate_mod, reason = "one text for two versions of the framework")
)]

extern crate alloc;

mod call;
mod error;
mod queues;
mod state;
mod types;
#[cfg(feature = "vhost-user-backend-0-22")]
pub mod v0_22;
mod vring;

/// What the modules beside this one are for.
mod framework {
    pub(crate) use {::vhost_user_backend, ::virtio_queue, ::vm_memory};
}

pub use self::call::Call;
pub use self::error::VringError;
pub use self::queues::Queues;
pub use self::types::{GuestMem, VringBitmap, VringMem, VringQueue};
pub use self::vring::Vring;

/// The guide for those who come from rust-vmm, which is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/from-rust-vmm.md")]
struct Guide;
