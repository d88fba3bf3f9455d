//! What is to be tried in a guest.

use crate::matrix::{EVENT_IDX, INDIRECT_DESC, RING_PACKED};

/// What a guest negotiates.
pub(super) struct Case {
    /// Those of the rings that may be accepted or not.
    pub(super) features: u64,
    pub(super) queues: u16,
}

impl Case {
    /// Returns half of all cases: each combination of any three of the four choices is in one of them.
    pub(super) fn all() -> Vec<Self> {
        let choices = [RING_PACKED, EVENT_IDX, INDIRECT_DESC];
        let cases = (0_u16..8).map(|pattern| {
            let chosen = (0..).zip(choices).filter(|(index, _)| pattern & 1 << index != 0);
            let features = chosen.fold(0, |features, (_, feature)| features | feature);
            Self { features, queues: if pattern.count_ones() % 2 == 0 { 1 } else { 2 } }
        });
        cases.collect()
    }
}
