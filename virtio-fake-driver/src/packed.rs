//! Drivers of packed virtqueues.
//!
//! VIRTIO 1.4 §2.8 "Packed Virtqueues". The code shares nothing with the device's code, like that for
//! [`split`](crate::split) virtqueues.

mod areas;
mod descriptor;
mod driver;
mod event_suppression;
mod raw;
mod side;

pub use areas::PackedAreas;
pub use descriptor::{Descriptor, UsedDescriptor};
pub use driver::{Packed, PackedDriver, PackedOptions};
pub use event_suppression::EventSuppression;
pub use raw::RawPacked;
pub(crate) use side::PackedSide;
