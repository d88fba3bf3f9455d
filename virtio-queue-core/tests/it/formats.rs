//! What the themes share that know no format.

use virtio_fake_driver::{Fixture, FixtureOptions, QueueFormat};

/// Runs a check with each format: as its own type, and chosen when the queue is made.
macro_rules! for_each_format {
    ($check:ident($features:expr $(, $other:expr)*)) => {
        $check::<virtio_fake_driver::Split>($features $(, $other)*);
        $check::<virtio_fake_driver::Packed>($features $(, $other)*);
        $check::<virtio_fake_driver::Any>($features $(, $other)*);
        $check::<virtio_fake_driver::Any>($features | virtio_fake_driver::features::RING_PACKED $(, $other)*);
    };
}

pub(crate) use for_each_format;

pub(crate) fn start<F: QueueFormat>(size: u16, features: u64) -> Fixture<F> {
    FixtureOptions { size, features, memory_len: 1 << 16, ..Default::default() }.build().unwrap()
}
