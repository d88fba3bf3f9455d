//! Front ends that say anything, in any order, to back ends that run in this process.
//!
//! Whatever a front end says, its session ends when it goes, the next front end is served, nothing panics, and no file
//! descriptor, mapping or thread is left of it.

mod back_ends;
mod front_end;
mod message;
mod regions;
mod wire;

use std::sync::{Mutex, PoisonError};

use crate::input::Input;
use back_ends::BackEnds;
use front_end::FrontEnd;
use wire::Wire;

/// How many things a front end does.
const STEPS: usize = 60;

/// One session, at one of the back ends.
pub(crate) fn run(input: &[u8]) {
    static BACK_ENDS: Mutex<Option<BackEnds>> = Mutex::new(None);
    // One at a time: what is left of a session is counted for the process.
    let mut back_ends = BACK_ENDS.lock().unwrap_or_else(PoisonError::into_inner);
    let back_ends = back_ends.get_or_insert_with(BackEnds::start);
    let mut input = Input::new(input);
    let place = input.below(BackEnds::COUNT);
    session(&mut input, Wire::new(back_ends.connect(place)));
    back_ends.check();
}

fn session(input: &mut Input<'_>, wire: Wire) {
    let mut front_end = FrontEnd::new(input, wire);
    if input.flag() {
        front_end.set_up(input);
    }
    for _ in 0..STEPS {
        if input.is_empty() || !front_end.step(input) {
            break;
        }
    }
    front_end.end();
}
