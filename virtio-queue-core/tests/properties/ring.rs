//! The kinds of rings, each made in its own way.

use core::cell::RefCell;
use std::rc::Rc;

use virtio_queue_core::packed::PackedRing;
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{
    AnyRing, FromConfig, Head, InOrderRing, OrderSlot, OrderedRing, QueueConfig, Record, RecordedRing, Recorder,
    Restorable, Ring,
};
use virtio_ring::packed::Descriptor;

use crate::memory::Mem;

pub(crate) type Ordered<R> = OrderedRing<R, Vec<OrderSlot>>;
pub(crate) type OrderedInArray<R> = OrderedRing<R, [OrderSlot; 8]>;
pub(crate) type InOrder<R> = InOrderRing<R, Vec<OrderSlot>>;
pub(crate) type Recorded<R> = RecordedRing<R, Book>;

/// A ring that a test makes from a configuration.
pub(crate) trait Make: Restorable + Ring<Mem = Mem> + Sized {
    fn make(config: &QueueConfig, mem: Mem) -> Self;
}

macro_rules! make_from_config {
    ($($ring:ty),*) => {
        $(impl Make for $ring {
            fn make(config: &QueueConfig, mem: Mem) -> Self {
                Self::from_config(config, mem).unwrap()
            }
        })*
    };
}

make_from_config!(
    SplitRing<Mem>,
    PackedRing<Mem>,
    AnyRing<Mem>,
    Ordered<SplitRing<Mem>>,
    OrderedInArray<PackedRing<Mem>>,
    InOrder<AnyRing<Mem>>
);

impl<R: FromConfig + Record + Ring<Mem = Mem>> Make for Recorded<R> {
    fn make(config: &QueueConfig, mem: Mem) -> Self {
        Self::new(R::from_config(config, mem).unwrap(), Book::default())
    }
}

/// A recorder that checks what it is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book(Rc<RefCell<Vec<Head>>>);

impl Recorder for Book {
    fn fetched(&mut self, head: Head, descriptors: impl Iterator<Item = Descriptor>) {
        let count = descriptors.count();
        assert!(count == 0 || count == usize::from(head.slots()), "{head:?} with {count} descriptors");
        self.0.borrow_mut().push(head);
    }

    fn unfetched(&mut self, head: Head) {
        // Chains that were adopted are not in this book.
        let mut heads = self.0.borrow_mut();
        if heads.last() == Some(&head) {
            heads.pop();
        }
        assert!(!heads.contains(&head), "{head:?} is put back, and was not the last one");
    }

    fn completed(&mut self, head: Head) {
        self.0.borrow_mut().retain(|other| *other != head);
    }

    fn publishing(&mut self, _next_used: u16) {}

    fn published(&mut self, _next_used: u16) {}
}
