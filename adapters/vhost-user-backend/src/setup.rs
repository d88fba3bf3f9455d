//! The data that creates queues.

/// The data that creates queues, for either version of the framework.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// All negotiated features.
    pub(crate) features: u64,
    pub(crate) chain_len: Option<u32>,
    pub(crate) budget: usize,
}
