//! Random chains.

use virtio_fake_driver::{DriverChain, Traffic, TrafficLimits};

const LIMITS: TrafficLimits = TrafficLimits { elements: 5, bytes: 50, indirect: true };

#[test]
fn same_seed_gives_the_same_traffic() {
    let take = |seed, limits| Traffic::new(seed, limits).take(200).collect::<Vec<_>>();
    assert_eq!(take(3, LIMITS), take(3, LIMITS));
    assert_ne!(take(3, LIMITS), take(4, LIMITS));
}

#[test]
fn first_chain_is_the_same_on_every_host() {
    let limits = TrafficLimits { elements: 4, bytes: 20, indirect: false };
    let chain = Traffic::new(8, limits).next_chain();
    let expected = (2, vec![163, 170, 44, 64, 106, 63], 8);
    assert_eq!((chain.elements(), chain.readable_bytes(), chain.writable_len()), expected);
}

#[test]
fn limits_hold() {
    for chain in Traffic::new(1, LIMITS).take(5000) {
        assert!((1..=5).contains(&chain.elements()));
        assert!(chain.readable_bytes().len() as u64 + chain.writable_len() <= 50);
    }
    let limits = TrafficLimits { indirect: false, ..LIMITS };
    assert!(Traffic::new(1, limits).take(5000).all(|chain| chain.descriptors() == chain.elements()));
}

#[test]
fn every_kind_of_chain_occurs() {
    let chains: Vec<DriverChain> = Traffic::new(1, LIMITS).take(5000).collect();
    let occurs = |kind: &dyn Fn(&DriverChain) -> bool| chains.iter().any(kind);
    assert!(occurs(&|chain| chain.readable_bytes().is_empty() && chain.writable_len() == 0));
    assert!(occurs(&|chain| chain.readable_bytes().is_empty() && chain.writable_len() == 50));
    assert!(occurs(&|chain| chain.readable_bytes().len() == 50));
    assert!(occurs(&|chain| chain.elements() == 5 && chain.descriptors() == 1));
    for descriptors in 1..=5 {
        assert!(occurs(&|chain| chain.elements() == 5 && chain.descriptors() == descriptors));
    }
}

#[test]
fn traffic_for_a_packed_ring_is_never_mixed() {
    let chains: Vec<DriverChain> = Traffic::new(1, LIMITS).without_mixed_chains().take(5000).collect();
    assert!(chains.iter().all(|chain| [1, chain.elements()].contains(&chain.descriptors())));
    assert!(chains.iter().any(|chain| chain.elements() == 5 && chain.descriptors() == 1));
    assert!(chains.iter().any(|chain| chain.elements() == 5 && chain.descriptors() == 5));
}
