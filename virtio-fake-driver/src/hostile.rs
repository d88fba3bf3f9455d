//! Attacks on a device: a driver that breaks each rule, in many ways.
//!
//! [`run`] drives a device through all attacks and returns a [`Report`]. An attack has the id of the rule that it
//! breaks (`DRV-*`), or of a behaviour that a device must expect (`HOST-*`). The ids are those of
//! `docs/conformance.md`. For each id, the report contains the result, the amount of work, the touched areas, and the
//! [breaches](Breach).
//!
//! A breach is a panic, work without a bound, an access to memory that was not lent for it, a length that was not
//! written, a chain that was completed twice, or a chain that was lost.
//!
//! # Examples
//!
//! The module needs a feature:
//!
//! ```toml
//! [dev-dependencies]
//! virtio-fake-driver = { version = "0.1", features = ["hostile"] }
//! ```
//!
//! A test for a device:
//!
//! ```
//! use virtio_fake_driver::hostile;
//!
//! let report = hostile::run(|queue| {
//!     while let Some(chain) = queue.next_chain()? {
//!         let _ = chain.return_written(0);
//!     }
//!     Ok(())
//! });
//! assert!(report.passed(), "{report}");
//! ```
//!
//! If the device has requests of its own, give a good one to a [`Kit`]. If it has no queue of virtio-queue-core, use
//! [`Kit::run_device`].
//!
//! # Limits
//!
//! * A hook for panics keeps the panics of an attacked device out of the output. They are in the report. The hook stays
//!   for the rest of the process, and leaves all other threads alone.
//! * The kit stops a device when it makes too many accesses or translations. It cannot stop a loop that makes none.
//! * It does not see how much memory a device takes. Bound a length from a request before you allocate so much.
//! * It does not check notifications.
//! * It attacks one queue at a time.
//! * If a packed list changes while the device works, the kit does not check whether the buffer was lost.

mod attack;
mod breach;
mod case;
mod cases;
mod cuts;
mod descriptor;
mod kit;
mod ledger;
mod lent;
mod liberties;
mod lists;
mod memory;
mod packed;
mod panics;
mod report;
mod ring;
mod schedule;
mod schedules;
mod setup;
mod setups;
mod split;
mod tables;
mod work;

use alloc::collections::BTreeSet;

pub use self::breach::Breach;
use self::cases::{REASONS, cases};
pub use self::kit::Kit;
pub use self::memory::HostileMem;
pub use self::report::{Finding, Report, RingFormat, Row};
pub use self::setup::{DeviceResult, HostileQueue, Setup};
pub use self::work::{Touched, Work};

/// Runs all attacks on a device that `serve` serves, with the default options of a [`Kit`].
///
/// `serve` must answer all available chains of the queue. It returns an error only if the queue returned one.
#[must_use]
pub fn run(serve: impl FnMut(&mut HostileQueue) -> DeviceResult) -> Report {
    Kit::new().run(serve)
}

/// Returns the ids of all attacks on queues of one format.
pub fn ids(format: RingFormat) -> impl Iterator<Item = &'static str> {
    let ids: BTreeSet<_> = cases().filter_map(|case| case.id(format == RingFormat::Packed)).collect();
    ids.into_iter()
}

/// Returns the rules without an attack, each with its reason.
pub fn not_covered() -> impl Iterator<Item = (&'static str, &'static str)> {
    REASONS.iter().copied()
}
