//! The driver's side: it makes the chains of a [`Ring`] available and takes them back, outside of what is timed.
//!
//! What it does is prepared, so that it is fast and leaves the caches to the device; what it finds, it believes only if
//! it was written since.

pub(crate) mod packed;
pub(crate) mod split;

use super::ring::{Reports, Ring, Used};

/// One side of a ring.
pub(crate) trait Driver {
    /// Makes all chains available.
    fn refill(&mut self);

    /// Takes back all chains, and puts into `used` what the device says of each, in the order in which it has used
    /// them.
    ///
    /// # Errors
    ///
    /// If not all of them were used, or not as they should have been.
    fn take_back(&mut self, used: &mut Vec<Used>) -> Result<(), String>;
}

/// Takes back the chains of `ring`, for each of which, or for each batch, `take` reads a used element. It is told how
/// many chains were used before.
fn take_each(
    ring: &Ring,
    used: &mut Vec<Used>,
    mut take: impl FnMut(u16) -> Result<Used, String>,
) -> Result<(), String> {
    let mut done = 0;
    while done < ring.shape.chains() {
        let last = take(done)?;
        if ring.reports == Reports::Batches {
            // The batch ends with the chain that is named. Those before it were used completely (SPLIT-ORD-5,
            // PACK-INO-3).
            let end = usize::from(last.id / ring.shape.slots());
            let skipped = ring.chains.get(done.into()..end).ok_or_else(|| format!("{} was used again", last.id))?;
            for chain in skipped {
                used.push(ring.used_by(chain));
                done += 1;
            }
        }
        used.push(last);
        done += 1;
    }
    Ok(())
}
