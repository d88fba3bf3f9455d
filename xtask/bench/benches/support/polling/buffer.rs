//! The buffers: one for each chain.

/// How many are published together, at most.
pub(super) const BURST: u16 = 32;

/// The length of each.
pub(super) const LEN: u32 = 64;

/// What is in each once the device has written the number of its chain all over it.
pub(super) type Content = [u64; 8];

const _: () = assert!(size_of::<Content>() == LEN as usize);
