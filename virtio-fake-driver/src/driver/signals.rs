//! The state of the notifications of a driver, in both directions.

/// Which interrupts the driver has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupts {
    /// No interrupts.
    Off,
    /// One for every buffer that is used when no used buffer is left to reap.
    EveryBuffer,
    /// One interrupt, for a later buffer.
    Later,
}

/// The numbers of kicks and of suppressed kicks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KickCounts {
    pub(super) given: usize,
    pub(super) suppressed: usize,
}
