//! How fast whole devices are to be, next to what else serves the same drivers.

use xtask_report::target::Bound::{AtLeast, AtMost, Nothing, Shown, Under};
use xtask_report::target::{Target, alone, target};

const TO_DEVICE: &str = "64 B packets to the device";
const TO_DRIVER: &str = "64 B packets to the driver";
const FLOW: &str = "one TCP flow, TAP, to QEMU's virtio-net";
const FLOW_TIME: &str = "processor time, TAP, to QEMU's virtio-net";
const NULL: &str = "4 KiB reads, --null";
const CACHED: &str = "4 KiB reads, cached file, to QEMU";
const CACHED_TO_BOUND: &str = "4 KiB reads, cached file, to bound";
const DIRECT: &str = "4 KiB reads, O_DIRECT, to bound";
const CACHED_TIME: &str = "processor time, cached file, to QEMU";
const DIRECT_TIME: &str = "processor time, O_DIRECT, to QEMU";
const NOTIFICATIONS: &str = "notifications per request, depth 128";
const IDLE: &str = "processor time without traffic, ms per s";

/// A target for `vhost-user-net` next to DPDK's back end.
macro_rules! packets {
    ($what:expr, $figure:literal, $rings:literal) => {
        target(
            $what,
            $rings,
            concat!($figure, "/vhost-user-net/", $rings),
            concat!($figure, "/net_vhost/", $rings),
            AtLeast(1.0),
        )
    };
}

/// A target for `vhost-user-net` next to QEMU's own network device, both on a TAP device.
macro_rules! flow {
    ($what:expr, $figure:literal, $direction:literal, $bound:expr) => {
        target(
            $what,
            $direction,
            concat!($figure, "/vhost-user-net TAP/", $direction),
            concat!($figure, "/QEMU's virtio-net/", $direction),
            $bound,
        )
    };
}

/// A target for `vhost-user-blk` next to QEMU's back end.
macro_rules! requests {
    ($what:expr, $figure:literal, $depth:literal, $bound:expr) => {
        target(
            $what,
            concat!("depth ", $depth),
            concat!($figure, "/vhost-user-blk/", $depth),
            concat!($figure, "/qemu-storage-daemon/", $depth),
            $bound,
        )
    };
}

/// Two targets for reads of a file in the page cache with many requests at a time, one of which has to be met.
macro_rules! cached {
    ($mode:literal, to QEMU) => {
        target(
            CACHED,
            concat!($mode, ", depth 32"),
            concat!("blk-cached/vhost-user-blk ", $mode, "/32"),
            "blk-cached/qemu-storage-daemon io_uring/32",
            AtLeast(3.0),
        )
        .or("blk-cached/bound/32", AtLeast(0.9))
    };
    ($mode:literal, to bound) => {
        target(
            CACHED_TO_BOUND,
            concat!($mode, ", depth 32"),
            concat!("blk-cached/vhost-user-blk ", $mode, "/32"),
            "blk-cached/bound/32",
            AtLeast(0.9),
        )
        .or("blk-cached/qemu-storage-daemon io_uring/32", AtLeast(3.0))
    };
}

/// A target for reads of a file past the page cache.
macro_rules! direct {
    ($mode:literal, $depth:literal) => {
        target(
            DIRECT,
            concat!($mode, ", depth ", $depth),
            concat!("blk-direct/vhost-user-blk ", $mode, "/", $depth),
            concat!("blk-direct/bound/", $depth),
            AtLeast(0.95),
        )
    };
}

/// A target for how long `vhost-user-blk` uses a processor for a request next to QEMU's back end.
macro_rules! processor_time {
    ($what:expr, $figure:literal, $mode:literal, $depth:literal) => {
        target(
            $what,
            concat!($mode, ", depth ", $depth),
            concat!($figure, "-processor-time/vhost-user-blk ", $mode, "/", $depth),
            concat!($figure, "-processor-time/qemu-storage-daemon io_uring/", $depth),
            AtMost(0.5),
        )
    };
}

/// A target for how often one side notifies the other.
macro_rules! notifications {
    ($case:literal) => {
        alone(NOTIFICATIONS, $case, concat!("blk-notifications/vhost-user-blk/", $case), Under(0.1))
    };
}

pub(crate) const TARGETS: &[Target] = &[
    packets!(TO_DEVICE, "net-to-device", "split"),
    packets!(TO_DEVICE, "net-to-device", "split in-order"),
    packets!(TO_DEVICE, "net-to-device", "packed"),
    packets!(TO_DEVICE, "net-to-device", "packed in-order"),
    packets!(TO_DRIVER, "net-to-driver", "split"),
    packets!(TO_DRIVER, "net-to-driver", "split in-order"),
    packets!(TO_DRIVER, "net-to-driver", "packed"),
    packets!(TO_DRIVER, "net-to-driver", "packed in-order"),
    flow!(FLOW, "tap-flow", "from the guest", AtLeast(1.0)),
    flow!(FLOW, "tap-flow", "to the guest", AtLeast(1.0)),
    flow!(FLOW_TIME, "tap-flow-processor-time", "from the guest", Shown),
    flow!(FLOW_TIME, "tap-flow-processor-time", "to the guest", Shown),
    requests!(NULL, "blk-null", "1", Shown),
    requests!(NULL, "blk-null", "32", AtLeast(1.5)),
    requests!(NULL, "blk-null", "128", AtLeast(1.5)),
    cached!("uring", to QEMU),
    cached!("uring", to bound),
    cached!("uring, poll", to QEMU),
    cached!("uring, poll", to bound),
    cached!("plain, poll", to QEMU),
    cached!("plain, poll", to bound),
    direct!("uring", "1"),
    direct!("uring", "32"),
    direct!("uring, poll", "1"),
    direct!("uring, poll", "32"),
    processor_time!(CACHED_TIME, "blk-cached", "uring", "1"),
    processor_time!(CACHED_TIME, "blk-cached", "uring", "32"),
    processor_time!(CACHED_TIME, "blk-cached", "uring, poll", "32"),
    processor_time!(CACHED_TIME, "blk-cached", "plain, poll", "32"),
    processor_time!(DIRECT_TIME, "blk-direct", "uring", "1"),
    processor_time!(DIRECT_TIME, "blk-direct", "uring", "32"),
    processor_time!(DIRECT_TIME, "blk-direct", "uring, poll", "32"),
    notifications!("kick mode, by the driver"),
    notifications!("kick mode, by the device"),
    notifications!("poll mode, by the driver"),
    notifications!("poll mode, by the device"),
    alone(IDLE, "kick mode", "blk-idle/vhost-user-blk/kick mode", Nothing),
];
