//! The virtqueue for devices: a device fetches descriptor chains from it, and returns them.
//!
//! A device's transport knows the addresses of the rings and the negotiated features. This crate makes a running
//! [`Queue`] of them, with an implementation of [`DriverMem`] and one of [`DriverNotify`]. A queue never trusts the
//! driver: each violation is a typed error, and all work is bounded.
//!
//! To read and write chains as bytes, add the crate `virtio-chain`. Use this crate alone if you move descriptors
//! without reading their contents, or if every nanosecond counts.
//!
//! ```
//! use virtio_mem_traits::{DriverAddr, HeapMem};
//! use virtio_queue_core::{ChainError, DriverNotify, Piece, QueueConfig, RingFeatures, SplitQueue, Walk};
//!
//! struct Interrupt;
//!
//! impl DriverNotify for Interrupt {
//!     fn notify(&self) { /* signal the driver */ }
//! }
//!
//! let mem = HeapMem::new(DriverAddr(0x10_0000), 0x1_0000)?;
//! let features = RingFeatures::from_negotiated(1 << 32)?;
//! let config = QueueConfig::new(256, features, DriverAddr(0x10_0000), DriverAddr(0x10_1000), DriverAddr(0x10_2000));
//! let mut queue = SplitQueue::new(&config, &mem, Interrupt)?;
//!
//! // Whenever the driver kicks:
//! let mut burst = queue.burst();
//! while let Some(chain) = burst.next_chain()? {
//!     // Each piece is memory that the device may read, or may write.
//!     let add = |bytes, piece: Piece<'_>| Ok::<_, ChainError>(bytes + piece.memory.len());
//!     let _bytes = chain.walk().try_fold_pieces(&mem, 0, add)?;
//!     // The drop returns the chain, with nothing written.
//! }
//! # drop(burst);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! * `alloc`: `Rc` and `Arc` of a notifier are notifiers, and a `Vec` can be the storage of an [`InOrderRing`].
//! * `serde`: a [`SavedQueue`] can be serialized.
//! * `std`: a [`ChainError`], a [`FatalError`] and a [`ReturnError`] turn into a `std::io::Error`.
//!
//! # Clauses
//!
//! The documentation names rules of the specification by ids such as SPLIT-USED-4. The file `docs/conformance.md` of
//! the repository lists each rule with its id and its section in VIRTIO 1.4.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod any;
mod burst;
mod chain;
mod config;
mod error;
mod gathered;
mod head;
mod in_order;
#[cfg(feature = "std")]
mod io;
mod lifecycle;
mod notify;
pub mod packed;
mod queue;
mod recorded;
mod ring;
mod rules;
mod saved;
pub mod split;
mod state;
mod token;
mod walk;

pub use any::{AnyPlace, AnyPositions, AnyRing, AnyWalk};
pub use burst::{Burst, BurstChain, ReturnToBurst};
pub use chain::{Chain, ChainElements, ChainWalk, DescChain, ReturnTo};
pub use config::{ConfigError, QueueArea, QueueConfig, QueueLimits, SUPPORTED_RING_FEATURES};
pub use error::{AdoptError, ChainError, ChainErrorKind, FatalError, Refused, ReturnError};
pub use gathered::Gathered;
pub use head::Head;
pub use in_order::{InOrderPositions, InOrderRing, OrderSlot, OrderStorage, OrderedRing};
pub use lifecycle::{Draining, Resetting, Suspended};
pub use notify::{Armed, DriverNotify};
pub use queue::{AnyQueue, PackedQueue, Queue, QueueChain, SplitQueue};
pub use recorded::{Record, RecordedPositions, RecordedRing, Recorder};
pub use ring::{FromConfig, KeepsDescriptors, Ring, ServeChain};
pub use saved::{Restorable, RestoreError, SavedQueue};
pub use state::QueueState;
pub use token::Token;
/// The types of the crates below that a user of a queue needs.
pub use virtio_mem_traits::{Access, AreaError, DriverAddr, DriverMem, DriverRange, StableMem, TranslateError};
pub use virtio_ring::{FeaturesError, RingFeatures};
pub use walk::{Element, Piece, Walk};
