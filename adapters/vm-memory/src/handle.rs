//! What keeps a memory in place.

use alloc::rc::Rc;
use alloc::sync::Arc;
use core::ops::Deref;

use crate::memory::Memory;

#[diagnostic::on_unimplemented(
    message = "`{Self}` does not keep a memory in place",
    label = "this must be `Arc<M>`, `Rc<M>`, `&M` or a `GuestMemoryLoadGuard<M>`, of a memory `M`",
    note = "a memory `M` is a `GuestMemoryMmap`, or implements `Memory`"
)]
/// A handle that keeps a memory in place while it lives.
///
/// It is what a [`VmMemory`](crate::VmMemory) is made of: an `Arc`, an `Rc` or a reference, or the guard that
/// `GuestMemoryAtomic::memory` returns. A `Box` is not such a handle: moving a `Box` asserts that no other pointer into
/// it exists.
///
/// # Safety
///
/// An implementor guarantees, until the handle and all its clones are dropped:
/// 1. the handle and its clones always dereference to the same memory. This also holds after the handle was moved.
/// 2. nothing moves this memory, drops it, or borrows it mutably.
pub unsafe trait Handle: Deref<Target: Memory> + Clone {}

// SAFETY: (1) all clones point to one memory. (2) An `Arc` lends it immutably while there is another handle, and a
// `VmMemory` lends no handle mutably.
unsafe impl<M: Memory> Handle for Arc<M> {}

// SAFETY: (1) and (2) as for `Arc`.
unsafe impl<M: Memory> Handle for Rc<M> {}

// SAFETY: (1) a copy points to the same memory. (2) The memory is borrowed for as long as the reference and its copies
// live.
unsafe impl<M: Memory> Handle for &M {}
