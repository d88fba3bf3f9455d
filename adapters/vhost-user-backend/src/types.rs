//! The types that a version of the framework leads to.

use alloc::sync::Arc;

use virtio_queue_core::AnyRing;
use virtio_util::SharedQueue;
use virtio_vm_memory::VmMemory;

use super::framework::vm_memory::bitmap::Bitmap;
use super::framework::vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};
use crate::call::Call;

/// The memory that `vhost-user-backend` keeps.
pub type GuestMem<B = ()> = GuestMemoryAtomic<GuestMemoryMmap<B>>;

/// The memory of a [`VringQueue`]: what there was of a [`GuestMem`] at a time.
pub type VringMem<B = ()> = VmMemory<Arc<GuestMemoryMmap<B>>>;

/// The queue of a [`Vring`](super::Vring), of either format.
pub type VringQueue<B = ()> = SharedQueue<AnyRing<VringMem<B>>, Call>;

/// A dirty bitmap that several threads can use: `()` for none, or `BitmapMmapRegion` of `vhost-user-backend`.
pub trait VringBitmap: Bitmap + Send + Sync + 'static {}

impl<B: Bitmap + Send + Sync + 'static> VringBitmap for B {}
