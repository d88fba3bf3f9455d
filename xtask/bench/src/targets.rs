//! How fast the crates are to be.
//!
//! Instructions judge a change, because they do not vary. Times are information, with their spread.

use xtask_report::target::Bound::{AtLeast, AtMost, Shown};
use xtask_report::target::{Target, alone, target};

const ONE: &str = "1 descriptor, bursts of 32";
const BULK: &str = "1 descriptor, bulk";
const EIGHT: &str = "8 descriptors, bursts of 32";
const INDIRECT: &str = "8 indirect, bursts of 32";
const ONE_BY_ONE: &str = "one by one with notification test";
const ANY: &str = "AnyQueue to its format's own queue";
const PAYLOAD: &str = "64 bytes of payload";
const PACKETS: &str = "batch of 64-byte packets, copy included";
const OWNED: &str = "64 bytes read, owned chain to borrowed one";
const LTO: &str = "virtio-queue to split, fat LTO, bursts of 32";
const REGIONS: &str = "8 descriptors, 512 memory regions to 1";
const GUEST: &str = "memory of vm-memory to region table";
const COPY: &str = "4 KiB of payload, time to memcpy";
const TIME: &str = "time to raw loop";
const SIZE: &str = "queue size 32768 to 256, time";
const TWO_CORES: &str = "two cores, chains/s to raw loop";

/// A target for the instructions of a chain, in one of the formats.
macro_rules! count {
    ($what:expr, $about:literal, $contender:literal, $shape:literal, $most:literal) => {
        alone($what, $about, concat!("instructions/", $contender, "/", $shape), AtMost($most))
    };
}

/// A target for the instructions of a chain, as a ratio of two counts.
macro_rules! counts {
    ($what:expr, $about:literal, $of:literal, $to:literal, $bound:expr) => {
        target($what, $about, concat!("instructions", $of), concat!("instructions", $to), $bound)
    };
}

pub(crate) const TARGETS: &[Target] = &[
    count!(ONE, "split", "split", "direct-1-burst-32", 70.0),
    count!(ONE, "packed", "packed", "direct-1-burst-32", 105.0),
    count!(BULK, "split", "split-bulk", "direct-1-burst-32", 66.0),
    count!(BULK, "packed", "packed-bulk", "direct-1-burst-32", 72.0),
    count!(EIGHT, "split", "split", "direct-8-burst-32", 290.0),
    count!(EIGHT, "packed", "packed", "direct-8-burst-32", 360.0),
    count!(INDIRECT, "split", "split", "indirect-8-burst-32", 430.0),
    count!(INDIRECT, "packed", "packed", "indirect-8-burst-32", 415.0),
    count!(ONE_BY_ONE, "split, 1 descriptor", "split", "direct-1-burst-1", 125.0),
    count!(ONE_BY_ONE, "split, 8 descriptors", "split", "direct-8-burst-1", 350.0),
    count!(ONE_BY_ONE, "split, 8 indirect", "split", "indirect-8-burst-1", 490.0),
    count!(ONE_BY_ONE, "packed, 1 descriptor", "packed", "direct-1-burst-1", 190.0),
    count!(ONE_BY_ONE, "packed, 8 descriptors", "packed", "direct-8-burst-1", 510.0),
    count!(ONE_BY_ONE, "packed, 8 indirect", "packed", "indirect-8-burst-1", 510.0),
    counts!(ANY, "split, 1 descriptor", "/any-split/direct-1-burst-32", "/split/direct-1-burst-32", Shown),
    counts!(ANY, "split, 8 descriptors", "/any-split/direct-8-burst-32", "/split/direct-8-burst-32", Shown),
    counts!(ANY, "packed, 1 descriptor", "/any-packed/direct-1-burst-32", "/packed/direct-1-burst-32", Shown),
    counts!(ANY, "packed, 8 descriptors", "/any-packed/direct-8-burst-32", "/packed/direct-8-burst-32", Shown),
    count!(PAYLOAD, "split, read", "chain", "payload-read-64", 115.0),
    count!(PAYLOAD, "split, written", "chain", "payload-write-64", 115.0),
    count!(PAYLOAD, "packed, read", "chain-packed", "payload-read-64", 120.0),
    count!(PAYLOAD, "packed, written", "chain-packed", "payload-write-64", 120.0),
    count!(PACKETS, "split", "split", "packets-64", 84.0),
    count!(PACKETS, "packed", "packed", "packets-64", 90.0),
    counts!(OWNED, "split", "/owned/one-by-one-read-64", "/chain/one-by-one-read-64", Shown),
    counts!(OWNED, "packed", "/owned-packed/one-by-one-read-64", "/chain-packed/one-by-one-read-64", Shown),
    counts!(LTO, "1 descriptor", "-lto/virtio-queue/direct-1-burst-32", "-lto/split/direct-1-burst-32", AtLeast(8.0)),
    counts!(LTO, "8 descriptors", "-lto/virtio-queue/direct-8-burst-32", "-lto/split/direct-8-burst-32", AtLeast(6.5)),
    counts!(LTO, "8 indirect", "-lto/virtio-queue/indirect-8-burst-32", "-lto/split/indirect-8-burst-32", AtLeast(4.8)),
    counts!(REGIONS, "split", "/split/regions-512", "/split/regions-1", AtMost(1.5)),
    counts!(REGIONS, "packed", "/packed/regions-512", "/packed/regions-1", AtMost(1.5)),
    counts!(GUEST, "split, 1 descriptor", "/split-guest/direct-1-burst-32", "/split/direct-1-burst-32", AtMost(1.05)),
    counts!(GUEST, "split, 8 descriptors", "/split-guest/direct-8-burst-32", "/split/direct-8-burst-32", AtMost(1.05)),
    counts!(
        GUEST,
        "packed, 1 descriptor",
        "/packed-guest/direct-1-burst-32",
        "/packed/direct-1-burst-32",
        AtMost(1.05)
    ),
    counts!(
        GUEST,
        "packed, 8 descriptors",
        "/packed-guest/direct-8-burst-32",
        "/packed/direct-8-burst-32",
        AtMost(1.05)
    ),
    target(COPY, "read", "payload-read/chain/4096", "payload-read/memcpy/4096", AtMost(1.1)),
    target(COPY, "written", "payload-write/chain/4096", "payload-write/memcpy/4096", AtMost(1.1)),
    target(TIME, "split, 1 descriptor", "chain-direct/split/1", "chain-direct/raw-split/1", Shown),
    target(TIME, "split, 8 descriptors", "chain-direct/split/8", "chain-direct/raw-split/8", Shown),
    target(TIME, "split, one by one", "burst-1/split/1", "burst-1/raw-split/1", Shown),
    target(TIME, "packed, 1 descriptor", "chain-direct/packed/1", "chain-direct/raw-packed/1", Shown),
    target(TIME, "packed, 8 descriptors", "chain-direct/packed/8", "chain-direct/raw-packed/8", Shown),
    target(TIME, "packed, one by one", "burst-1/packed/1", "burst-1/raw-packed/1", Shown),
    target(SIZE, "split", "queue-size/split/32768", "queue-size/split/256", AtMost(1.5)),
    target(SIZE, "packed", "queue-size/packed/32768", "queue-size/packed/256", AtMost(1.5)),
    target(TWO_CORES, "split", "two-cores/split/throughput", "two-cores/raw-split/throughput", AtLeast(0.85)),
    target(TWO_CORES, "packed", "two-cores/packed/throughput", "two-cores/raw-packed/throughput", AtLeast(0.85)),
];
