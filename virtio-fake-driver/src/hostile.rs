//! Attacks on a device: a driver that breaks every rule, in every way.

mod attack;
mod breach;
mod case;
mod cuts;
mod kit;
mod ledger;
mod lent;
mod liberties;
mod lists;
mod memory;
mod packed;
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
use self::case::{REASONS, cases};
pub use self::kit::Kit;
pub use self::memory::HostileMem;
pub use self::report::{Finding, Report, RingFormat, Row};
pub use self::setup::{DeviceResult, HostileQueue, Setup};
pub use self::work::{Touched, Work};

/// Runs all attacks.
#[must_use]
pub fn run(serve: impl FnMut(&mut HostileQueue) -> DeviceResult) -> Report {
    Kit::new().run(serve)
}

/// Returns ids.
pub fn ids(format: RingFormat) -> impl Iterator<Item = &'static str> {
    let ids: BTreeSet<_> = cases().filter_map(|case| case.id(format == RingFormat::Packed)).collect();
    ids.into_iter()
}

/// Returns the rules without an attack, each with its reason.
pub fn not_covered() -> impl Iterator<Item = (&'static str, &'static str)> {
    REASONS.iter().copied()
}
