//! Kinds of locks.

/// A kind of lock, for a [`SharedQueue`](crate::SharedQueue).
///
/// The type parameter is a mutex around `()`:
///
/// | kind | needs |
/// | --- | --- |
/// | `std::sync::Mutex<()>`, the [default](crate::DefaultLock) | feature `std` |
/// | `parking_lot::Mutex<()>` of parking_lot 0.12, and all others of lock_api 0.4 | feature `lock_api-0-4` |
/// | `parking_lot::Mutex<()>` of parking_lot 0.13, and all others of lock_api 0.5 | feature `lock_api-0-5`, Rust 1.95 |
/// | a type of your own | this trait |
///
/// A queue is locked while it fetches or returns a chain. Under the lock, the queue calls the notifier, and a returned
/// chain drops its memory handle. Neither the notifier nor the memory handle must call the queue.
///
/// # Examples
///
/// A device without an operating system supplies its own lock:
///
/// ```
/// use virtio_util::Lock;
/// # struct Spin<T>(std::sync::Mutex<T>);
///
/// /// Locks that spin, with interrupts masked.
/// struct Masked;
///
/// impl Lock for Masked {
///     type Of<T: Send> = Spin<T>;
///
///     fn new<T: Send>(value: T) -> Spin<T> {
///         // ...
/// #       Spin(std::sync::Mutex::new(value))
///     }
///
///     fn with<T: Send, A>(lock: &Spin<T>, work: impl FnOnce(&mut T) -> A) -> A {
///         // ...
/// #       work(&mut lock.0.lock().unwrap())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a kind of lock for a shared queue",
    note = "with the feature `std`, omit the parameter: the default lock is `std::sync::Mutex`",
    note = "with `lock_api-0-4`, parking_lot 0.12's `Mutex<()>` is a kind of lock; with `lock_api-0-5`, parking_lot \
            0.13's is",
    note = "without `std`, implement `virtio_util::Lock` for a type of your own"
)]
#[doc(alias = "RawMutex")]
pub trait Lock: 'static {
    /// The lock around a value.
    type Of<T: Send>: Send + Sync;

    /// Creates a lock around `value`.
    fn new<T: Send>(value: T) -> Self::Of<T>;

    /// Locks, calls `work` with the value, and unlocks, even if `work` panics.
    fn with<T: Send, A>(lock: &Self::Of<T>, work: impl FnOnce(&mut T) -> A) -> A;
}

/// The kind of lock that a shared queue has if none is named.
#[cfg(feature = "std")]
pub type DefaultLock = std::sync::Mutex<()>;

/// Ignores poison. A panic under the lock does not stop the device, because the value is sound at all times.
#[cfg(feature = "std")]
impl Lock for std::sync::Mutex<()> {
    type Of<T: Send> = std::sync::Mutex<T>;

    #[inline]
    fn new<T: Send>(value: T) -> std::sync::Mutex<T> {
        std::sync::Mutex::new(value)
    }

    #[inline]
    fn with<T: Send, A>(lock: &std::sync::Mutex<T>, work: impl FnOnce(&mut T) -> A) -> A {
        work(&mut lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// Implements [`Lock`] for the mutexes of one version of lock_api.
macro_rules! lock_api {
    ($feature:literal, $version:ident) => {
        #[cfg(feature = $feature)]
        impl<R: $version::RawMutex + Send + Sync + 'static> Lock for $version::Mutex<R, ()> {
            type Of<T: Send> = $version::Mutex<R, T>;

            #[inline]
            fn new<T: Send>(value: T) -> $version::Mutex<R, T> {
                $version::Mutex::new(value)
            }

            #[inline]
            fn with<T: Send, A>(lock: &$version::Mutex<R, T>, work: impl FnOnce(&mut T) -> A) -> A {
                work(&mut lock.lock())
            }
        }
    };
}

lock_api!("lock_api-0-4", lock_api_0_4);
lock_api!("lock_api-0-5", lock_api_0_5);
