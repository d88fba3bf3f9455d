//! Panics of a device under attack, which go into the report and not to the terminal.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::any::Any;
use core::cell::{Cell, RefCell};
use core::panic::AssertUnwindSafe;
use std::panic::{catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::{thread, thread_local};

use super::memory::Overrun;

thread_local! {
    /// Whether the thread runs a device under attack.
    static IS_ATTACKED: Cell<bool> = const { Cell::new(false) };
    /// The place in the source where the device panicked last.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The end of a device that unwound.
pub(super) enum Unwound {
    /// The memory stopped it.
    Stopped,
    /// It panicked with this message. The message begins with the place, if that is known.
    Panicked(String),
}

/// Calls a device, and keeps the hook for panics from printing.
pub(super) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, Unwound> {
    be_silent_under_attack();
    IS_ATTACKED.set(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    IS_ATTACKED.set(false);
    let place = PLACE.take();
    result.map_err(|payload| if payload.is::<Overrun>() { Unwound::Stopped } else { panicked(place, &*payload) })
}

fn panicked(place: Option<String>, payload: &(dyn Any + Send)) -> Unwound {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("the payload is not a text");
    Unwound::Panicked(place.map_or_else(|| text.to_string(), |place| format!("{place}: {text}")))
}

/// Puts a hook before the one that is there. One device can panic in hundreds of attacks, and what is printed for each
/// would hide the report. The hook leaves all other threads alone.
fn be_silent_under_attack() {
    static HOOK: Once = Once::new();
    // The hook cannot be changed by a thread that panics.
    if thread::panicking() {
        return;
    }
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if IS_ATTACKED.get() {
                PLACE.set(panic.location().map(ToString::to_string));
            } else {
                before(panic);
            }
        }));
    });
}
