//! How far the cases go in which something happens to a guest.

/// What may be more than in the short form.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Extent {
    /// How often a back end is killed under its guest, for `recovery`
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) kills: u32,
    /// How often each guest is migrated, for `migration`
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) migrations: u32,
    /// What decides about the random moments, for `recovery` and `migration`, if they are to be those of another run
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Let qemu-storage-daemon serve the disk, and nobody the network: that shows whether a failure is one of ours
    #[arg(long, hide = true)]
    pub(crate) peer: bool,
}
