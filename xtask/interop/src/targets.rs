//! How fast whole devices are to be, next to what else serves the same drivers.

use xtask_report::target::Bound::{AtLeast, Nothing, Shown, Under};
use xtask_report::target::{Target, alone, target};

const TO_DEVICE: &str = "64 B packets to the device";
const TO_DRIVER: &str = "64 B packets to the driver";
const NULL: &str = "4 KiB reads, --null";
const FILE: &str = "4 KiB reads, cached file, peer with threads";
const FILE_IO_URING: &str = "4 KiB reads, cached file, peer with io_uring";
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
    requests!(NULL, "blk-null", "1", Shown),
    requests!(NULL, "blk-null", "32", AtLeast(1.5)),
    requests!(NULL, "blk-null", "128", AtLeast(1.5)),
    requests!(FILE, "blk-file", "1", Shown),
    requests!(FILE, "blk-file", "32", AtLeast(3.0)),
    requests!(FILE, "blk-file", "128", Shown),
    requests!(FILE_IO_URING, "blk-file-io-uring", "1", Shown),
    requests!(FILE_IO_URING, "blk-file-io-uring", "32", AtLeast(3.0)),
    requests!(FILE_IO_URING, "blk-file-io-uring", "128", Shown),
    notifications!("kick mode, by the driver"),
    notifications!("kick mode, by the device"),
    notifications!("poll mode, by the driver"),
    notifications!("poll mode, by the device"),
    alone(IDLE, "kick mode", "blk-idle/vhost-user-blk/kick mode", Nothing),
];
