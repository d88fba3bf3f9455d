//! How fast the crates are to be.

use xtask_report::target::Bound::{AtLeast, AtMost, Shown};
use xtask_report::target::{Target, target};

const ONE_BY_ONE: &str = "1 descriptor, one by one with notification test";
const ONE: &str = "1 descriptor, bursts of 32";
const EIGHT: &str = "8 descriptors, bursts of 32";
const INDIRECT: &str = "8 indirect, bursts of 32";
const READ: &str = "4 KiB payload read";
const WRITE: &str = "4 KiB payload written";
const SIZE: &str = "queue size 32768 against 256";
const REGIONS: &str = "512 memory regions against 1";
const LTO: &str = "instructions with fat LTO, bursts of 32";
const COUNTED_REGIONS: &str = "512 memory regions against 1, instructions";
const TWO_CORES: &str = "two cores, chains/s";

pub(crate) const TARGETS: &[Target] = &[
    target(ONE_BY_ONE, "split to raw loop", "burst-1/split/1", "burst-1/raw-split/1", AtMost(3.0)),
    target(ONE_BY_ONE, "virtio-queue to split", "burst-1/virtio-queue/1", "burst-1/split/1", AtLeast(5.0)),
    target(ONE_BY_ONE, "packed to split", "burst-1/packed/1", "burst-1/split/1", AtMost(1.0)),
    target(ONE_BY_ONE, "packed to raw loop", "burst-1/packed/1", "burst-1/raw-packed/1", Shown),
    target(ONE, "split to raw loop", "chain-direct/split/1", "chain-direct/raw-split/1", AtMost(2.5)),
    target(ONE, "virtio-queue to split", "chain-direct/virtio-queue/1", "chain-direct/split/1", AtLeast(8.0)),
    target(ONE, "packed to split", "chain-direct/packed/1", "chain-direct/split/1", AtMost(1.0)),
    target(ONE, "packed to raw loop", "chain-direct/packed/1", "chain-direct/raw-packed/1", Shown),
    target(EIGHT, "split to raw loop", "chain-direct/split/8", "chain-direct/raw-split/8", AtMost(2.0)),
    target(EIGHT, "virtio-queue to split", "chain-direct/virtio-queue/8", "chain-direct/split/8", AtLeast(6.0)),
    target(EIGHT, "packed to split", "chain-direct/packed/8", "chain-direct/split/8", AtMost(1.0)),
    target(EIGHT, "packed to raw loop", "chain-direct/packed/8", "chain-direct/raw-packed/8", Shown),
    target(INDIRECT, "split to 8 direct", "chain-indirect/split/8", "chain-direct/split/8", AtMost(1.3)),
    target(INDIRECT, "virtio-queue to split", "chain-indirect/virtio-queue/8", "chain-indirect/split/8", AtLeast(6.0)),
    target(INDIRECT, "packed to split", "chain-indirect/packed/8", "chain-indirect/split/8", AtMost(1.0)),
    target(INDIRECT, "packed to raw loop", "chain-indirect/packed/8", "chain-indirect/raw-packed/8", Shown),
    target(READ, "to memcpy", "payload-read/chain/4096", "payload-read/memcpy/4096", AtMost(1.1)),
    target(READ, "virtio-queue to ours", "payload-read/virtio-queue/4096", "payload-read/chain/4096", AtLeast(1.5)),
    target(WRITE, "to memcpy", "payload-write/chain/4096", "payload-write/memcpy/4096", AtMost(1.1)),
    target(WRITE, "virtio-queue to ours", "payload-write/virtio-queue/4096", "payload-write/chain/4096", AtLeast(1.5)),
    target(SIZE, "split", "queue-size/split/32768", "queue-size/split/256", AtMost(1.5)),
    target(SIZE, "packed", "queue-size/packed/32768", "queue-size/packed/256", AtMost(1.5)),
    target(REGIONS, "split", "regions/split/512", "regions/split/1", AtMost(1.5)),
    target(REGIONS, "packed", "regions/packed/512", "regions/packed/1", AtMost(1.5)),
    target(COUNTED_REGIONS, "split", "instructions/split/regions-512", "instructions/split/regions-1", AtMost(1.5)),
    target(COUNTED_REGIONS, "packed", "instructions/packed/regions-512", "instructions/packed/regions-1", AtMost(1.5)),
    target(
        LTO,
        "virtio-queue to split, 1 descriptor",
        "instructions-lto/virtio-queue/direct-1-burst-32",
        "instructions-lto/split/direct-1-burst-32",
        AtLeast(8.0),
    ),
    target(
        LTO,
        "virtio-queue to split, 8 descriptors",
        "instructions-lto/virtio-queue/direct-8-burst-32",
        "instructions-lto/split/direct-8-burst-32",
        AtLeast(6.5),
    ),
    target(
        LTO,
        "virtio-queue to split, 8 indirect",
        "instructions-lto/virtio-queue/indirect-8-burst-32",
        "instructions-lto/split/indirect-8-burst-32",
        AtLeast(4.8),
    ),
    target(
        TWO_CORES,
        "split to raw loop",
        "two-cores/split/throughput",
        "two-cores/raw-split/throughput",
        AtLeast(0.85),
    ),
    target(
        TWO_CORES,
        "packed to raw loop",
        "two-cores/packed/throughput",
        "two-cores/raw-packed/throughput",
        AtLeast(0.85),
    ),
];
