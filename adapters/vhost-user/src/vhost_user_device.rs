//! What a device type says of itself.

use crate::worker::Worker;

/// A device, as vhost-user front ends get to know it.
///
/// # Examples
///
/// See the [crate documentation](crate#examples).
pub trait VhostUserDevice: Send + Sync {
    /// The name of the device type in the schema `vhost-user.json` of QEMU: `"block"`, `"net"`, `"rng"`. The program
    /// prints it for `--print-capabilities`, and nothing else depends on it. A type that the schema does not have, such
    /// as I2C or GPIO, goes by a name of your choice.
    const TYPE: &'static str;

    /// The features of the program in that schema: `["read-only", "blk-file"]` of a block device. By default, none.
    const CAPABILITIES: &'static [&'static str] = &[];

    /// How many queues belong together, at most two: 2 of a network device, which receives and transmits. One worker
    /// serves them.
    ///
    /// A worker that is [`deferred`](Worker::deferred) or [`asynchronous`](Worker::asynchronous) serves each of them on
    /// a thread of its own. `deferred` does not say which of them a chain is from: use `asynchronous`, where
    /// [`Chains::place`](crate::Chains::place) says it, or one queue per worker.
    ///
    /// Queues that do different work and need not see each other do not belong together: the default of 1 is right for
    /// them. [`worker`](Self::worker) returns another one for each queue, also of another shape. Leave this at 1 then,
    /// and override [`num_queues`](Self::num_queues). What the workers share is in an `Arc` of the device.
    const QUEUES_PER_WORKER: usize = 1;

    /// Whether the device can announce a guest: see [`announce`](Self::announce).
    const ANNOUNCES: bool = false;

    /// Returns what serves a queue, for a driver that accepted `features`. `queue` is the number of the queue in the
    /// device, from 0 on, as the specification of the device type counts its queues.
    ///
    /// `features` has the feature bits of the device type and those of the queues, such as VERSION_1 (bit 32) and
    /// RING_PACKED (bit 34).
    ///
    /// With several [queues per worker](Self::QUEUES_PER_WORKER), the worker serves the queues from `queue` on, which
    /// is a multiple of `QUEUES_PER_WORKER`.
    ///
    /// # The life of a worker
    ///
    /// A worker is made when the first of its queues starts. The front end chooses the order: QEMU starts queue 0
    /// first, which is served before the others have workers. A worker serves its queues until one of these things
    /// happens. Then this function makes another one.
    ///
    /// * The front end goes, or resets the device (`RESET_DEVICE`).
    /// * The driver accepts other features.
    /// * All queues of the worker have stopped, and one of them starts elsewhere than where it stopped. So another
    ///   driver starts it, or it was broken.
    ///
    /// A pause is none of these: after `stop` and `cont` of QEMU, a queue starts where it stopped, and its worker goes
    /// on.
    ///
    /// QEMU sends no `RESET_DEVICE` to most devices. If the guest reboots, or its driver is unbound and bound again,
    /// QEMU stops all queues, and starts them at their beginning. That is the third case. One thing remains: a queue
    /// that stopped exactly at its beginning looks as if it was paused. Usually no chain was ever returned in it. If
    /// all queues of a worker are like that, the worker goes on with the new driver.
    ///
    /// So what belongs to one driver belongs into the worker, and what outlives a driver into the device.
    fn worker(&self, queue: usize, features: u64) -> Worker;

    /// Returns the feature bits of the device type that the device offers: by default, none. Those of the queues are
    /// not among them: see [`Options`](crate::Options).
    fn features(&self) -> u64 {
        0
    }

    /// Returns the configuration space as it is now. By default, it is empty.
    ///
    /// A front end that reads beyond the end finds zeros there.
    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes over what the driver writes at `offset` of the configuration space (`SET_CONFIG`), and returns whether
    /// that can be written. By default, nothing can be, and the front end is told so.
    ///
    /// `bytes` has at least one byte, and lies within [`config`](Self::config), which returns what was written from
    /// then on. The values are the driver's: they can be anything.
    ///
    /// It is called on the thread of the messages while workers serve. Most devices of QEMU write the whole space
    /// although the driver has written one field: take over what can be written, and ignore the rest.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU8, Ordering};
    ///
    /// use virtio_vhost_user::{VhostUserDevice, Worker};
    ///
    /// /// Has a configuration space of four bytes, of which the driver writes the last one.
    /// struct Volume {
    ///     level: AtomicU8,
    /// }
    ///
    /// impl VhostUserDevice for Volume {
    ///     const TYPE: &'static str = "sound";
    ///
    ///     fn config(&self) -> Vec<u8> {
    ///         vec![1, 0, 0, self.level.load(Ordering::Relaxed)]
    ///     }
    ///
    ///     fn write_config(&self, offset: usize, bytes: &[u8]) -> bool {
    ///         let level = 3_usize.checked_sub(offset).and_then(|at| bytes.get(at));
    ///         if let Some(level) = level {
    ///             self.level.store(*level, Ordering::Relaxed);
    ///         }
    ///         level.is_some()
    ///     }
    ///
    ///     fn worker(&self, _queue: usize, _features: u64) -> Worker {
    ///         Worker::at_once(|chain| drop(chain))
    ///     }
    /// }
    ///
    /// let device = Volume { level: AtomicU8::new(0) };
    /// assert!(device.write_config(0, &[9, 9, 9, 7]));
    /// assert_eq!(device.config(), [1, 0, 0, 7]);
    /// assert!(!device.write_config(0, &[9]));
    /// ```
    fn write_config(&self, offset: usize, bytes: &[u8]) -> bool {
        let _ = (offset, bytes);
        false
    }

    /// Sends a packet to the network in the name of the guest, after a migration (`SEND_RARP`). So the switches learn
    /// where the guest with this hardware address is now. By default, nothing happens.
    ///
    /// A front end asks for it if the device [can](Self::ANNOUNCES), and if the driver did not accept GUEST_ANNOUNCE.
    /// It is called on the thread of the messages while workers serve.
    fn announce(&self, address: [u8; 6]) {
        let _ = address;
    }

    /// Returns the number of queues: virtqueues, not pairs of them. By default, there are as many as belong together.
    fn num_queues(&self) -> usize {
        Self::QUEUES_PER_WORKER
    }

    /// Returns what the device has done until now, as lines for people. The last line has no end of line. By default,
    /// there are no lines, and nothing is printed.
    ///
    /// [`run`](crate::run) prints the lines to the standard output:
    ///
    /// * when a front end has gone, after its workers have ended;
    /// * at any time, on SIGUSR1;
    /// * at the end of the program, if they have changed since the last front end went. If there was no front end, they
    ///   are printed as they are.
    ///
    /// [`BackEnd::serve`](crate::BackEnd::serve) does not print them.
    fn report(&self) -> String {
        String::new()
    }
}
