//! The types for one version of the framework.

use alloc::sync::Arc;

use virtio_queue_core::AnyRing;
use virtio_util::SharedQueue;
use virtio_vm_memory::VmMemory;

use super::framework::vm_memory::bitmap::Bitmap;
use super::framework::vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};
use crate::call::Call;

/// The memory type of `vhost-user-backend`.
pub type GuestMem<B = ()> = GuestMemoryAtomic<GuestMemoryMmap<B>>;

/// The memory of a [`VringQueue`]: a snapshot of a [`GuestMem`].
pub type VringMem<B = ()> = VmMemory<Arc<GuestMemoryMmap<B>>>;

/// The queue of a [`Vring`](super::Vring), of either format.
pub type VringQueue<B = ()> = SharedQueue<AnyRing<VringMem<B>>, Call>;

/// A dirty bitmap that several threads can use: `()` for none, or `BitmapMmapRegion` of `vhost-user-backend`.
pub trait VringBitmap: Bitmap + Send + Sync + 'static {}

impl<B: Bitmap + Send + Sync + 'static> VringBitmap for B {}
