//! Feature bits.

use virtio_ring::{FeaturesError, RingFeatures};

const VERSION_1: u64 = 1 << 32;

/// FEAT-23, AMB-19, FEAT-21, FEAT-22: the bits of the rings are a list, not a range; those of device types are left
/// out.
#[test]
fn features_of_device_types_are_left_out() {
    let features = RingFeatures::from_negotiated(u64::MAX).unwrap();
    let ring = [28, 29, 32, 33, 34, 35, 36, 38, 39, 40, 43].iter().fold(0, |bits, bit| bits | 1_u64 << bit);
    assert_eq!(features.bits(), ring);
}

/// FEAT-8, LEG-1, LEG-2, LEG-3, LEG-4, END-2, DRV-FEAT-3: legacy drivers are refused.
#[test]
fn features_without_version_1_refused() {
    assert_eq!(RingFeatures::from_negotiated(0), Err(FeaturesError::NotVersion1));
    assert_eq!(RingFeatures::from_negotiated(u64::from(u32::MAX)), Err(FeaturesError::NotVersion1));
}

/// FEAT-24, LEG-5, LEG-6: the bits that only they know mean nothing by themselves, nor does the one that vhost-user
/// takes for itself.
#[test]
fn features_of_legacy_devices_ignored() {
    for bit in [24, 27, 30] {
        let features = RingFeatures::from_negotiated(VERSION_1 | 1 << bit);
        assert_eq!(features, Ok(RingFeatures::VERSION_1), "bit {bit}");
        assert_eq!(RingFeatures::from_negotiated(1 << bit), Err(FeaturesError::NotVersion1), "bit {bit}");
    }
}

/// DRV-FEAT-1, DRV-FEAT-2: every single bit that was not offered.
#[test]
fn features_not_offered_refused() {
    for bit in (0..64).filter(|&bit| bit != 32) {
        let bits = 1 << bit;
        assert_eq!(
            RingFeatures::from_accepted(VERSION_1, VERSION_1 | bits),
            Err(FeaturesError::NotOffered { bits }),
            "bit {bit}"
        );
    }
    assert!(RingFeatures::from_accepted(VERSION_1 | 1 << 5, VERSION_1).is_ok());
}

#[test]
fn features_set_operations_work() {
    let features = RingFeatures::VERSION_1.union(RingFeatures::EVENT_IDX);
    assert!(features.contains(RingFeatures::EVENT_IDX));
    assert!(!features.contains(RingFeatures::EVENT_IDX.union(RingFeatures::IN_ORDER)));
    assert_eq!(features.difference(RingFeatures::EVENT_IDX), RingFeatures::VERSION_1);
    assert!(features.difference(features).is_empty());
}

/// FEAT-21, FEAT-22, AMB-19, FEAT-23: SR_IOV and ADMIN_VQ are bits for all devices or for some, and of no ring: each by
/// itself leaves the ring as it is. So does whatever has no meaning yet.
#[test]
fn features_of_transports_are_no_ring_features() {
    for bit in [37, 41, 42, 44, 49, 50, 63] {
        let features = RingFeatures::from_negotiated(VERSION_1 | 1 << bit);
        assert_eq!(features, Ok(RingFeatures::VERSION_1), "bit {bit}");
    }
}

/// FEAT-24, FEAT-8, DRV-FEAT-3: every ring feature without VERSION_1 is that of a legacy driver, also if it was
/// offered.
#[test]
fn features_without_version_1_refused_whatever_else() {
    for bit in [28, 29, 33, 34, 35, 36, 38, 39, 40, 43] {
        assert_eq!(RingFeatures::from_negotiated(1 << bit), Err(FeaturesError::NotVersion1), "bit {bit}");
        let offered = VERSION_1 | 1 << bit;
        assert_eq!(RingFeatures::from_accepted(offered, 1 << bit), Err(FeaturesError::NotVersion1), "bit {bit}");
        let accepted = RingFeatures::from_accepted(offered, offered).unwrap();
        assert_eq!(accepted.bits(), offered);
    }
}

#[test]
fn features_are_displayed_by_name_and_bit() {
    let none = RingFeatures::VERSION_1.difference(RingFeatures::VERSION_1);
    let packed = RingFeatures::VERSION_1.union(RingFeatures::RING_PACKED);
    for (features, expected) in [
        (none, "none"),
        (RingFeatures::EVENT_IDX, "EVENT_IDX (29)"),
        (packed, "VERSION_1 (32) | RING_PACKED (34)"),
        (
            RingFeatures::from_negotiated(u64::MAX).unwrap(),
            "INDIRECT_DESC (28) | EVENT_IDX (29) | VERSION_1 (32) | ACCESS_PLATFORM (33) | RING_PACKED (34) | \
             IN_ORDER (35) | ORDER_PLATFORM (36) | NOTIFICATION_DATA (38) | NOTIF_CONFIG_DATA (39) | RING_RESET (40) | \
             SUSPEND (43)",
        ),
    ] {
        assert_eq!(features.to_string(), expected);
        assert_eq!(format!("{features:?}"), format!("RingFeatures({expected})"));
    }
}

#[test]
fn features_errors_are_displayed_with_what_would_be_right() {
    for (error, expected) in [
        (
            FeaturesError::NotVersion1,
            "VERSION_1 (32) was not negotiated: the device must offer it and the driver must accept it, because legacy \
             drivers are not supported",
        ),
        (
            FeaturesError::NotOffered { bits: 1 << 34 | 1 << 5 | 1 << 63 },
            "the driver accepted bit 5 | RING_PACKED (34) | bit 63, which the device did not offer: the driver \
             must accept only offered bits",
        ),
    ] {
        assert_eq!(error.to_string(), expected);
    }
}

/// FEAT-5, FEAT-6, FEAT-11, FEAT-13, FEAT-17, FEAT-18, FEAT-19, FEAT-20: which bit is which.
#[test]
fn features_by_name_are_these_bits() {
    for (feature, bit) in [
        (RingFeatures::INDIRECT_DESC, 28),
        (RingFeatures::EVENT_IDX, 29),
        (RingFeatures::VERSION_1, 32),
        (RingFeatures::ACCESS_PLATFORM, 33),
        (RingFeatures::RING_PACKED, 34),
        (RingFeatures::IN_ORDER, 35),
        (RingFeatures::ORDER_PLATFORM, 36),
        (RingFeatures::NOTIFICATION_DATA, 38),
        (RingFeatures::NOTIF_CONFIG_DATA, 39),
        (RingFeatures::RING_RESET, 40),
        (RingFeatures::SUSPEND, 43),
    ] {
        assert_eq!(feature.bits(), 1 << bit);
    }
}
