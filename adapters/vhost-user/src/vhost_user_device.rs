//! What a device type says of itself.

use crate::worker::Worker;

/// A device, as vhost-user front ends get to know it.
///
/// # Examples
///
/// See the [crate documentation](crate#examples).
pub trait VhostUserDevice: Send + Sync {
    /// The name of the device type in the schema `vhost-user.json` of QEMU: `"block"`, `"net"`, `"rng"`. The program
    /// prints it for `--print-capabilities`, and nothing else depends on it. A type that the schema does not have, such as
    /// I2C or GPIO, goes by a name of your choice.
    const TYPE: &'static str;

    /// The features of the program in that schema: `["read-only", "blk-file"]` of a block device. By default, none.
    const CAPABILITIES: &'static [&'static str] = &[];

    /// How many queues belong together, at most two: 2 of a network device, which receives and transmits. One worker
    /// serves them.
    ///
    /// Queues that do different work and need not see each other do not belong together: the default of 1 is right for
    /// them. [`worker`](Self::worker) returns another one for each index, also of another shape.
    const QUEUES_PER_WORKER: usize = 1;

    /// Returns what serves the queue `index`, for a driver that accepted `features`.
    ///
    /// With several [queues per worker](Self::QUEUES_PER_WORKER), these are the queues from
    /// `index * QUEUES_PER_WORKER` on. A worker is made when the first of them starts, and serves them until the driver
    /// resets the device or the front end goes.
    fn worker(&self, index: usize, features: u64) -> Worker;

    /// Returns the feature bits of the device type that the device offers: by default, none. Those of the queues are not
    /// among them: see [`Options`](crate::Options).
    fn features(&self) -> u64 {
        0
    }

    /// Returns the configuration space, which can be read and not written. By default, it is empty.
    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Returns the number of queues: virtqueues, not pairs of them. By default, there are as many as belong together.
    fn num_queues(&self) -> usize {
        Self::QUEUES_PER_WORKER
    }

    /// Returns what the device has done until now, for people, in lines without the last end of line. It is printed to
    /// the standard output when a front end has gone, with all that served it, and at any time on SIGUSR1. By default,
    /// it is empty, and nothing is printed.
    fn report(&self) -> String {
        String::new()
    }
}
