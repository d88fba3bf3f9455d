//! The virtqueue, for devices: chains of descriptors come out of it, and go back.
//!
//! A device's transport says where the driver has put the rings and which features were negotiated. From that, and from
//! an implementation of [`DriverMem`] and one of [`DriverNotify`], this crate makes a
//! running [`Queue`]. It never trusts the driver: whatever lies in shared memory, the outcome is a typed error and
//! bounded work.
//!
//! Devices that want bytes rather than descriptors go on with the crate `virtio-chain`. This crate alone is for those
//! that count every nanosecond, or move descriptors and not what they stand for.
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
//! Ids such as SPLIT-USED-4 name rules. The file `docs/conformance.md` of the repository lists each of them, with its
//! section in VIRTIO 1.4.

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
/// What a queue's user needs of the crates below.
pub use virtio_mem_traits::{Access, AreaError, DriverAddr, DriverMem, DriverRange, StableMem, TranslateError};
pub use virtio_ring::{FeaturesError, RingFeatures};
pub use walk::{Element, Piece, Walk};
