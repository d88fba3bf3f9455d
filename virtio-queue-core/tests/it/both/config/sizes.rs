//! Queue sizes, and the limits that a device sets.

use crate::support::{for_each_format, with};
use virtio_fake_driver::features::RING_PACKED;
use virtio_fake_driver::{Any, Packed, Split};
use virtio_queue_core::{ConfigError, QueueConfig, QueueLimits};
use virtio_ring::QueueSizeError;

use super::{Areas, Setup};

fn with_limit(config: QueueConfig, queue_size: u16) -> QueueConfig {
    with(config, |config| config.limits = QueueLimits { queue_size, ..QueueLimits::default() })
}

/// What is wrong with a size of either format.
fn bad_split(size: u16) -> QueueSizeError {
    QueueSizeError::Split { size }
}

fn bad_packed(size: u16) -> QueueSizeError {
    QueueSizeError::Packed { size }
}

fn check_sizes<F: Areas>(features: u64, good: &[u16], bad: &[u16], error: fn(u16) -> QueueSizeError) {
    for size in good {
        let setup = Setup::<F>::new(*size, features);
        setup.check_made(&setup.config);
    }
    let setup = Setup::<F>::new(8, features);
    for size in bad.iter().copied() {
        setup.check_refused(&with(setup.config, |config| config.size = size), ConfigError::Size(error(size)));
    }
}

/// LAY-3, DRV-CFG-3: powers of two from 1 to 32768, and nothing else.
#[test]
fn split_size_no_power_of_two_refused() {
    let good: Vec<u16> = (0..16).map(|log| 1 << log).collect();
    let bad = [0, 3, 5, 6, 7, 255, 16385, 32767];
    check_sizes::<Split>(0, &good, &bad, bad_split);
    check_sizes::<Any>(0, &good, &bad, bad_split);
}

/// LAY-8, DRV-CFG-3, REG-1: any size from 1 to 32768, and not 0.
#[test]
fn packed_size_of_zero_refused() {
    let good = [1, 2, 3, 4, 5, 7, 8, 255, 256, 257, 16385, 32767, 32768];
    check_sizes::<Packed>(0, &good, &[0], bad_packed);
    check_sizes::<Any>(RING_PACKED, &good, &[0], bad_packed);
}

fn check_over_limit<F: Areas>(features: u64, size: u16, limit: u16) {
    let setup = Setup::<F>::new(size, features);
    setup.check_refused(&with_limit(setup.config, limit), ConfigError::SizeOverLimit { size, limit });
    setup.check_made(&with_limit(setup.config, size));
}

fn check_over_all<F: Areas>(features: u64) {
    let setup = Setup::<F>::new(8, features);
    for size in [32769, 49152, 65535] {
        let error = ConfigError::SizeOverLimit { size, limit: 32768 };
        setup.check_refused(&with(setup.config, |config| config.size = size), error);
    }
}

/// DRV-CFG-4, LAY-3, LAY-8: as large as the driver was shown, and no larger.
#[test]
fn size_over_limit_refused() {
    for (size, limit) in [(16, 8), (2, 1), (32768, 16384)] {
        for_each_format!(check_over_limit(0, size, limit));
    }
    for (size, limit) in [(8, 7), (3, 2), (32768, 32767)] {
        check_over_limit::<Packed>(0, size, limit);
        check_over_limit::<Any>(RING_PACKED, size, limit);
    }
    for_each_format!(check_over_all(0));
}

fn check_limits<F: Areas>(features: u64, good: &[u16], bad: &[u16], error: fn(u16) -> QueueSizeError) {
    let setup = Setup::<F>::new(8, features);
    for limit in good {
        setup.check_made(&with_limit(setup.config, *limit));
    }
    for size in bad.iter().copied() {
        let config = with(with_limit(setup.config, size), |config| config.size = 8.min(size));
        setup.check_refused(&config, ConfigError::Limit(error(size)));
    }
}

/// GEN-14: a device that shows its driver a limit which is no size is told so. For a packed queue, one that is no power
/// of two is as good as any.
#[test]
fn limit_that_is_no_size_refused() {
    let (split_good, split_bad) = ([8, 16, 32768], [0, 9, 15, 32767, 32769, 65535]);
    check_limits::<Split>(0, &split_good, &split_bad, bad_split);
    check_limits::<Any>(0, &split_good, &split_bad, bad_split);
    let (packed_good, packed_bad) = ([8, 9, 1000, 32767, 32768], [0, 32769, 65535]);
    check_limits::<Packed>(0, &packed_good, &packed_bad, bad_packed);
    check_limits::<Any>(RING_PACKED, &packed_good, &packed_bad, bad_packed);
}
