//! Sequences that have failed once.

use crate::action::{Action, KINDS, Setup, Shape, Then};
use crate::run::run;

/// Runs a sequence on every ring, with and without shortcuts.
#[track_caller]
fn check(actions: &[Action]) {
    for kind in KINDS {
        for (event_idx, reports) in [(false, false), (false, true), (true, false), (true, true)] {
            run(Setup { kind, size: 4, event_idx, reports }, actions);
        }
    }
}

fn one_chain() -> Action {
    Action::Publish(vec![Shape { readable: vec![1], writable: vec![], indirect: false }])
}

/// BACK-2: a call that fetches nothing does not forget what was put back.
#[test]
fn call_that_fetches_nothing_leaves_chains_put_back() {
    let nothing = [
        Action::Serve { limit: 0 },
        Action::Gather { limit: 0, writes: false, keep: true },
        Action::Gather { limit: 4, writes: true, keep: true },
    ];
    for nothing in nothing {
        check(&[one_chain(), Action::Fetch(Then::PutBack), nothing, Action::EnableForMore, one_chain()]);
    }
}
