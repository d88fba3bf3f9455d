//! Properties of queues: they hold for every sequence of what drivers and devices do, and work is bounded by numbers.
//!
//! `PROPTEST_CASES=10000 cargo test -p virtio-queue-core --test properties` tries more sequences than usual. A sequence
//! that fails is made as short as possible. Its seed is added to a file beside this one, and runs first from then on.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
#![allow(clippy::std_instead_of_alloc, reason = "a test has std")]
#![allow(clippy::cast_possible_truncation, reason = "all numbers here are small")]

mod action;
mod found;
mod memory;
mod model;
mod ring;
mod run;
mod work;

use proptest::collection::vec;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

use crate::action::{Action, honest, hostile, setup};
use crate::run::run;

/// Runs sequences of actions, and reports the shortest that fails.
#[track_caller]
fn check(actions: impl Strategy<Value = Action>, seeds: &'static str) {
    let config = Config {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(seeds))),
        source_file: Some(file!()),
        ..Config::default()
    };
    let result = TestRunner::new(config).run(&(setup(), vec(actions, 1..80)), |(setup, actions)| {
        run(setup, &actions);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// INV-1, INV-2, INV-4, INV-5, INV-6, INV-7, INV-11: with an honest driver, each chain comes out once, in order, and
/// goes back once; nobody waits in vain, and nobody is told for nothing.
#[test]
fn honest_driver_gets_each_chain_back_once() {
    check(honest(), "tests/properties/honest.regressions");
}

/// INV-1, INV-2, INV-3, INV-5, INV-6, INV-12, HOST-20, HOST-28: whatever a driver writes, each call does bounded work,
/// writes only where it may, and reports a fault once.
#[test]
fn hostile_driver_gets_bounded_work_and_typed_errors() {
    check(hostile(), "tests/properties/hostile.regressions");
}
