//! Drivers of split virtqueues.
//!
//! VIRTIO 1.4 §2.7 "Split Virtqueues". The code shares nothing with the device's code. The layout, the encoding and the
//! decision to notify are written a second time, from the specification. So a misunderstanding on one side is not
//! hidden by the same misunderstanding on the other side (FD-12).

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
