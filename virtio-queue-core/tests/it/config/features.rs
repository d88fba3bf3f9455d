//! Features that a queue runs with, or does not.

use crate::support::with;
use virtio_fake_driver::{Packed, Split};
use virtio_queue_core::{ConfigError, QueueConfig, RingFeatures, SUPPORTED_RING_FEATURES};

use super::{Areas, Setup, for_each_setup};

/// FEAT-1, FEAT-7: what may be offered is what runs.
#[test]
fn features_supported_are_these() {
    let bits = [28, 29, 32, 33, 34, 35, 36, 38, 39, 40, 43];
    assert_eq!(SUPPORTED_RING_FEATURES.bits(), bits.into_iter().map(|bit: u32| 1_u64 << bit).sum());
}

fn check_unsupported<F: Areas>(size: u16, features: u64) {
    let setup = Setup::<F>::new(size, features);
    let features = setup.config.features.union(RingFeatures::IN_ORDER);
    setup.check_refused(&with(setup.config, |config| config.features = features), ConfigError::Features(RingFeatures::IN_ORDER));
}

/// FEAT-13, FEAT-14: a ring with a promise that it does not keep is refused.
#[test]
fn features_unsupported_refused() {
    for_each_setup!(check_unsupported(0));
}

/// FEAT-13: each ring refuses to be of the other format.
#[test]
fn other_format_refused() {
    let (split, packed) = (Setup::<Split>::new(8, 0), Setup::<Packed>::new(8, 0));
    split.check_refused(&packed.config, ConfigError::Format { packed: true });
    packed.check_refused(&split.config, ConfigError::Format { packed: false });
}
