//! Things that a driver can do, and that a device must serve.

use super::attack::Attack;
use super::case::Runs::Times;
use super::case::{Case, pick};
use super::ring::Ring;
use crate::features::EVENT_IDX;
use crate::packed::EventSuppression;

pub(super) const CASES: &[Case] = &[
    Case::both("honest", "good requests", Times(2), good),
    Case::both("DRV-MAY-1", "many buffers at once", Times(3), many_at_once),
    Case::both("DRV-MAY-2", "notifications off and on", Times(1), events_on_and_off),
    Case::both("DRV-MAY-3", "the same kick again", Times(1), kicks_again),
    Case::packed("DRV-PDESC-4", "kicks more often than it has to", Times(1), kicks_again),
    Case::split("DRV-ANOT-2", "kicks against the device's flags", Times(1), kicks_again).without(EVENT_IDX),
    Case::split("DRV-ANOT-3", "kicks against avail_event", Times(1), kicks_again).needs(EVENT_IDX),
    Case::both("HOST-25", "endless kicks", Times(1), endless_kicks),
    Case::both("DRV-INIT-1", "kicks before the device runs", Times(1), before_start),
    Case::both("DRV-SUSP-1", "adds while the device rests", Times(1), while_resting),
    Case::both("DRV-SUSP-2", "goes on before the device does", Times(1), while_resting),
    Case::split("DRV-FEAT-6", "declines the packed format", Times(1), good),
];

fn good(a: &mut Attack<'_, '_>, n: usize) {
    a.is_legal();
    for _ in 0..4 {
        let elements = if n == 0 { a.request() } else { a.request_in_table() };
        a.offer(&elements);
        a.serve();
    }
}

fn many_at_once(a: &mut Attack<'_, '_>, n: usize) {
    a.is_legal();
    let size = usize::from(a.scene.size);
    let count = pick(&[size / 3, size, size], n);
    for _ in 0..count {
        let element = if n == 1 { a.readable(4) } else { a.writable(4) };
        a.offer(&[element]);
    }
}

fn events_on_and_off(a: &mut Attack<'_, '_>, _: usize) {
    a.is_legal();
    for round in 0..6 {
        set_events(a, round % 2 == 0);
        let element = a.writable(4);
        a.offer(&[element]);
        a.serve();
    }
}

fn set_events(a: &Attack<'_, '_>, wanted: bool) {
    match &a.ring {
        Ring::Split(ring) => {
            ring.raw.set_available_flags(u16::from(!wanted));
            ring.raw.set_used_event(if wanted { ring.next } else { ring.next.wrapping_sub(1) });
        }
        Ring::Packed(ring) => {
            let flags = if wanted { EventSuppression::ENABLE } else { EventSuppression::DISABLE };
            ring.raw.set_driver_events(EventSuppression { off_wrap: 0, flags });
        }
    }
}

fn kicks_again(a: &mut Attack<'_, '_>, _: usize) {
    a.is_legal();
    a.offer_request();
    for _ in 0..3 {
        a.serve();
    }
    a.offer_request();
}

fn endless_kicks(a: &mut Attack<'_, '_>, _: usize) {
    a.is_legal();
    for _ in 0..50 {
        a.serve();
    }
}

fn before_start(a: &mut Attack<'_, '_>, _: usize) {
    a.is_legal();
    a.offer_request();
}

fn while_resting(a: &mut Attack<'_, '_>, _: usize) {
    a.is_legal();
    a.start();
    a.offer_request();
    a.offer_request();
}
