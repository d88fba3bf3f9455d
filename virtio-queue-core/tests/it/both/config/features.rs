//! Features that a queue runs with, or does not.

use virtio_fake_driver::{Packed, Split};
use virtio_queue_core::{ConfigError, RingFeatures, SUPPORTED_RING_FEATURES};

use super::{Areas, Setup, for_each_setup};
use crate::support::with;

/// FEAT-1, FEAT-7: what can be offered is what runs. IN_ORDER is for a ring that keeps the order.
#[test]
fn features_supported_are_these() {
    let bits = [28, 29, 32, 33, 34, 36, 38, 39, 40, 43];
    assert_eq!(SUPPORTED_RING_FEATURES.bits(), bits.into_iter().map(|bit: u32| 1_u64 << bit).sum());
}

fn check_unsupported<F: Areas>(size: u16, features: u64) {
    let setup = Setup::<F>::new(size, features);
    let features = setup.config.features.union(RingFeatures::IN_ORDER);
    setup.check_refused(
        &with(setup.config, |config| config.features = features),
        ConfigError::Features(RingFeatures::IN_ORDER),
    );
}

/// FEAT-13, FEAT-14: a ring with a promise that it does not keep is refused.
#[test]
fn features_unsupported_refused() {
    for_each_setup!(check_unsupported(0));
}

/// DRV-IND-3: a device that allows no elements would fail every chain.
fn check_no_elements<F: Areas>(size: u16, features: u64) {
    let setup = Setup::<F>::new(size, features);
    setup.check_refused(&with(setup.config, |config| config.limits.chain_len = Some(0)), ConfigError::NoElements);
}

#[test]
fn limit_of_no_elements_refused() {
    for_each_setup!(check_no_elements(0));
    assert_eq!(ConfigError::NoElements.to_string(), "the limit on elements in a chain is 0: it must be at least 1");
}

/// FEAT-13: each ring refuses to be of the other format.
#[test]
fn other_format_refused() {
    let (split, packed) = (Setup::<Split>::new(8, 0), Setup::<Packed>::new(8, 0));
    split.check_refused(&packed.config, ConfigError::Format { packed: true });
    packed.check_refused(&split.config, ConfigError::Format { packed: false });
}
