//! Optional wrappers around a virtqueue that many virtio devices need.
//!
//! In `virtio-queue-core`, a queue has one owner. The queue calls a notifier when the driver wants a notification.
//! Memory is any type that implements [`DriverMem`](virtio_mem_traits::DriverMem). This crate has the common types
//! around that:
//!
//! | item | for | feature |
//! | --- | --- | --- |
//! | [`SharedQueue`], [`SharedAnyQueue`], [`OwnedChain`] | chains that a device keeps, on several threads | `alloc`, and `std` or a [`Lock`] |
//! | [`DescChainStream`] | devices written with `async` | `alloc`, and `std` or a [`Lock`] |
//! | [`BufferedNotify`] | many notifications in one | |
//! | [`EventFd`] | signals through KVM, vhost-user and everything else that uses eventfds | `eventfd` |
//! | [`NotifyThread`] | notifiers that an untrusted process can block | `std` |
//! | [`RegionTable`] | driver memory in several regions | `alloc` |
//! | [`IommuMem`] | driver memory behind an IOMMU, for ACCESS_PLATFORM | |
//! | [`NotificationCounter`] | tests | |
//!
//! A device on one thread, with one region of memory and its own kind of signal, needs nothing from this crate. Each
//! item says when not to use it. The crates below do not depend on this crate, so you can replace each item with your
//! own type.
//!
//! # Three shapes of devices
//!
//! All three shapes use the recommended queue, [`AnyQueue`](virtio_queue_core::AnyQueue), in either format. The device
//! in these examples fills all writable bytes with zeros.
//!
//! **At once**: the device completes each chain before it fetches the next one. This shape needs only the queue:
//!
//! ```
//! use virtio_queue_core::{AnyQueue, Chain, ChainElements, DriverNotify, FatalError, StableMem};
//! # use virtio_fake_driver::{AnyFixtureOptions, DriverChain};
//!
//! /// Fills a chain with zeros, and returns it.
//! fn zero(chain: impl Chain) {
//!     let (mut place, mut written) = (chain.start(), 0);
//!     while let Some(Ok(element)) = chain.next_element(&mut place) {
//!         if element.access.writes() {
//!             # use virtio_queue_core::DriverMem;
//!             let Ok(piece) = chain.mem().translate_all(element.range, element.access) else { break };
//!             let Ok(()) = piece.fill(0, piece.len(), 0) else { break };
//!             chain.mem().written(element.range);
//!             written += element.range.len() as u32;
//!         }
//!     }
//!     let _ = chain.return_unchecked(written);
//! }
//!
//! /// Serves every available chain. Call it on each kick.
//! fn serve<M: StableMem>(queue: &mut AnyQueue<M, impl DriverNotify>) -> Result<(), FatalError> {
//!     let mut burst = queue.burst();
//!     while let Some(chain) = burst.next_chain()? {
//!         zero(chain);
//!     }
//!     burst.finish()
//! }
//! # let mut fixture = AnyFixtureOptions::default().build_plain()?;
//! # fixture.driver.add(&DriverChain::new().writable(8))?;
//! # serve(&mut fixture.queue)?;
//! # assert_eq!(fixture.driver.reap()?.ok_or("nothing was used")?.written(), [0; 8]);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! **Deferred**: a pool of threads completes chains in any order. Each thread fetches its own chains. A request that
//! panics must not end its thread: without threads, the pool stops.
//!
#![cfg_attr(feature = "std", doc = "```")]
#![cfg_attr(not(feature = "std"), doc = "```ignore")]
//! use std::panic::{AssertUnwindSafe, catch_unwind};
//! use std::thread;
//! use virtio_queue_core::{DriverNotify, FatalError, StableMem};
//! use virtio_util::{SharedAnyQueue, SharedQueue};
//! # use virtio_queue_core::{Chain, ChainElements, DriverMem};
//! # use virtio_fake_driver::{AnyFixtureOptions, DriverChain};
//! # fn zero(chain: impl Chain) {
//! #     let _ = chain.return_unchecked(0);
//! # }
//!
//! /// Works until the queue ends.
//! fn work<M, N>(queue: SharedAnyQueue<M, N>) -> Result<(), FatalError>
//! where
//!     M: StableMem + Send + 'static,
//!     N: DriverNotify + Send + 'static,
//! {
//!     while let Some(chain) = queue.wait_chain()? {
//!         let _ = catch_unwind(AssertUnwindSafe(|| zero(chain))); // The drop returns the chain.
//!     }
//!     Ok(())
//! }
//!
//! # let fixture = AnyFixtureOptions::default().build_plain()?;
//! # let (queue, mut driver) = (fixture.queue, fixture.driver);
//! let queue = SharedQueue::new(queue);
//! let pool = [(); 4].map(|()| {
//!     let queue = queue.clone();
//!     thread::spawn(|| work(queue))
//! });
//!
//! // Whenever the driver kicks:
//! # for _ in 0..8 {
//! #     driver.add(&DriverChain::new().writable(8))?;
//! # }
//! queue.wake();
//! # while driver.in_flight() != 0 {
//! #     driver.reap_all()?;
//! # }
//!
//! // At the end, wait until every chain is back:
//! queue.reset();
//! queue.drain();
//! for thread in pool {
//!     thread.join().expect("panics are caught")?;
//! }
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! **Asynchronous**: each chain is a task:
//!
#![cfg_attr(feature = "std", doc = "```")]
#![cfg_attr(not(feature = "std"), doc = "```ignore")]
//! use std::time::Duration;
//! use virtio_queue_core::{AnyQueue, DriverNotify, FatalError, StableMem};
//! use virtio_util::{DescChainStream, OwnedChain, SharedQueue};
//! # use virtio_queue_core::{Chain, ChainElements, DriverMem};
//! # use virtio_fake_driver::{AnyFixtureOptions, DriverChain};
//! # fn zero(chain: impl Chain) {
//! #     let _ = chain.return_unchecked(0);
//! # }
//!
//! async fn request<M: StableMem + Send + Sync>(chain: OwnedChain<M>) {
//!     tokio::time::sleep(Duration::from_millis(1)).await; // or a disk, or a network
//!     zero(chain);
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let fixture = AnyFixtureOptions::default().build_plain()?;
//! # let (queue, mut driver) = (fixture.queue, fixture.driver);
//! let queue = SharedQueue::new(queue);
//! let mut chains = DescChainStream::new(queue.clone());
//! let device = tokio::spawn(async move {
//!     while let Some(chain) = chains.next_chain().await? {
//!         tokio::spawn(request(chain));
//!     }
//!     Ok::<_, FatalError>(())
//! });
//!
//! // Whenever the driver kicks:
//! # for _ in 0..8 {
//! #     driver.add(&DriverChain::new().writable(8))?;
//! # }
//! queue.wake();
//! # while driver.in_flight() != 0 {
//! #     driver.reap_all()?;
//! #     tokio::task::yield_now().await;
//! # }
//!
//! // At the end:
//! queue.reset();
//! queue.drained().await;
//! device.await??;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! * `std`, by default: [`DefaultLock`], threads that wait, [`NotifyThread`]. It includes `alloc`.
//! * `eventfd`, by default: [`EventFd`], on Linux. It includes `std`.
//! * `alloc`: [`SharedQueue`], [`OwnedChain`], [`DescChainStream`], [`RegionTable`]; an `Rc` or `Arc` of a memory is a
//!   memory, and an `Rc` or `Arc` of a notifier is a notifier. Without `std`, you must name the [`Lock`] of a shared
//!   queue.
//! * `lock_api-0-4`, `lock_api-0-5`: implement [`Lock`] for the mutexes of lock_api 0.4 and 0.5. parking_lot 0.12 and
//!   0.13 use these mutexes. You can enable both features. lock_api 0.5 needs Rust 1.95.
//!
//! # Clauses
//!
//! Ids such as SPLIT-USED-4 name rules of the specification. The file `docs/conformance.md` of the repository lists
//! each of them, with its section in VIRTIO 1.4.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(all(feature = "std", feature = "eventfd", target_os = "linux")),
    allow(rustdoc::broken_intra_doc_links, reason = "the docs name what the features add")
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod buffered_notify;
#[cfg(feature = "alloc")]
mod desc_chain_stream;
#[cfg(feature = "alloc")]
mod elements;
#[cfg(all(feature = "eventfd", target_os = "linux"))]
mod event_fd;
mod iommu_mem;
mod lock;
mod notification_counter;
#[cfg(feature = "std")]
mod notify_thread;
#[cfg(feature = "alloc")]
mod owned_chain;
#[cfg(feature = "alloc")]
mod region_table;
#[cfg(feature = "alloc")]
mod shared_queue;

pub use buffered_notify::BufferedNotify;
#[cfg(feature = "alloc")]
pub use desc_chain_stream::DescChainStream;
#[cfg(all(feature = "eventfd", target_os = "linux"))]
pub use event_fd::EventFd;
pub use iommu_mem::{Iommu, IommuMem};
#[cfg(feature = "std")]
pub use lock::DefaultLock;
pub use lock::Lock;
pub use notification_counter::NotificationCounter;
#[cfg(feature = "std")]
pub use notify_thread::NotifyThread;
#[cfg(feature = "alloc")]
pub use owned_chain::OwnedChain;
#[cfg(feature = "alloc")]
pub use region_table::{RegionError, RegionTable};
#[cfg(feature = "alloc")]
pub use shared_queue::{DEFAULT_BUDGET, SharedAnyQueue, SharedBurst, SharedQueue, SharedRing};
