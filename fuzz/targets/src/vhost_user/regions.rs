//! The memory of the guest.

/// Where the guest has its memory: regions of equal length, one after the other in one file.
pub(crate) const REGIONS: [u64; 3] = [0x1_0000, 0x10_0000, 0x20_0000];
pub(crate) const REGION_LEN: u64 = 0x1_0000;

/// How far the addresses of the front end are from those of the guest.
pub(crate) const USER: u64 = 0x7000_0000_0000;
