//! Drivers of split virtqueues.
//!
//! VIRTIO 1.4 §2.7 "Split Virtqueues". Nothing here knows the device's code: the layout, the encoding and the decision
//! to notify are written down a second time, from the specification, so that a misunderstanding does not cancel out
//! (FD-12).

mod areas;
mod descriptor;
mod driver;
mod raw;
mod side;

pub use areas::SplitAreas;
pub use descriptor::Descriptor;
pub use driver::{Split, SplitDriver, SplitOptions};
pub use raw::{RawSplit, UsedElement};
pub(crate) use side::SplitSide;
