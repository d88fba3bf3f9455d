//! The list of violations.

use super::case::Case;
use super::{cuts, liberties, lists, packed, schedules, setups, split, tables};

/// Returns all cases.
pub(super) fn cases() -> impl Iterator<Item = &'static Case> {
    [
        liberties::CASES,
        setups::CASES,
        lists::CASES,
        tables::CASES,
        split::CASES,
        packed::CASES,
        cuts::CASES,
        schedules::CASES,
    ]
    .into_iter()
    .flatten()
}

/// The rules that no driver can break here, with the reason.
pub(super) const REASONS: &[(&str, &str)] = &[
    ("DRV-STAT-1", "the device status is not part of a queue"),
    ("DRV-FEAT-5", "a device cannot tell which barriers a driver has"),
    ("DRV-FEAT-7", "the driver's own choice, made before there is a queue"),
    ("DRV-RST-3", "the device status is not part of a queue"),
    ("DRV-CFG-7", "the transport tells when a reset is complete; a queue that is gone cannot notice"),
    ("DRV-UNOT-3", "it concerns the driver alone: no device can notice"),
    ("DRV-USED-1", "it concerns the driver alone: no device can notice"),
    ("DRV-BAR-2", "a device cannot tell which barriers a driver has"),
    ("DRV-PBAR-2", "a device cannot tell which barriers a driver has"),
    ("DRV-PDESC-3", "the data of a kick goes to the transport: see `NotificationData`"),
    ("DRV-NOT-1", "the data of a kick goes to the transport: see `NotificationData`"),
    ("DRV-NOT-2", "the data of a kick goes to the transport: see `NotificationData`"),
    ("HOST-24", "the data of a kick goes to the transport: see `NotificationData`"),
    ("HOST-30", "saved positions come from the device's owner: a driver does not write them"),
];
