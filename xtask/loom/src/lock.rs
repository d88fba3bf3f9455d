//! The lock of a shared queue.

use virtio_util::Lock;

/// The mutex of loom as a kind of lock.
#[derive(Debug)]
pub struct LoomLock;

impl Lock for LoomLock {
    type Of<T: Send> = loom::sync::Mutex<T>;

    fn new<T: Send>(value: T) -> loom::sync::Mutex<T> {
        loom::sync::Mutex::new(value)
    }

    fn with<T: Send, A>(lock: &loom::sync::Mutex<T>, work: impl FnOnce(&mut T) -> A) -> A {
        work(&mut lock.lock().expect("no model panics under a lock"))
    }
}
