//! One ordering that is weaker than it is written.
//!
//! `VIRTIO_LOOM_WEAKEN` names the place in the source and what is to be there: `path:line:column relaxed`, or for a
//! fence `acq_rel` or `none`. `VIRTIO_LOOM_SITES` names a file to which each model adds the places that it came to.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::{env, thread};

use virtio_mem_traits::model::Site;

static WEAKENED: LazyLock<Option<String>> = LazyLock::new(|| env::var("VIRTIO_LOOM_WEAKEN").ok());

thread_local! {
    static SITES: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// Returns the ordering of an access.
pub(crate) fn of_access(order: Ordering, site: Site) -> Ordering {
    let weak = order != Ordering::Relaxed && is_weakened(site, "relaxed");
    if weak { Ordering::Relaxed } else { order }
}

/// Returns the ordering of a fence, if there is to be one.
pub(crate) fn of_fence(order: Ordering, site: Site) -> Option<Ordering> {
    if is_weakened(site, "none") {
        return None;
    }
    Some(if is_weakened(site, "acq_rel") { Ordering::AcqRel } else { order })
}

/// Returns whether a place is to be made so weak, and takes note that a model came to it.
fn is_weakened(site: Site, weak: &str) -> bool {
    let name = format!("{site} {weak}");
    let weakened = WEAKENED.as_ref() == Some(&name);
    SITES.with_borrow_mut(|sites| sites.insert(name));
    weakened
}

/// Writes down which places the model of this thread came to.
pub(crate) fn report() {
    let sites = SITES.take();
    let Some(path) = env::var_os("VIRTIO_LOOM_SITES") else { return };
    let thread = thread::current();
    let model = thread.name().unwrap_or_default();
    let lines: String = sites.iter().map(|site| format!("{model} {site}\n")).collect();
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(lines.as_bytes())).expect("the file for the sites can be written");
}
