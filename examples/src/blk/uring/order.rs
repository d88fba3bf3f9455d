//! The order in which requests are answered, for drivers that were promised one.

use std::collections::VecDeque;

use virtio_mem_traits::StableMem;
use virtio_vhost_user::KeptChain;

use super::super::wire::Status;
use super::request::Request;
use super::usual::Usual;

/// How a request ends.
pub(super) enum End<M: StableMem> {
    /// The kernel has done all of it.
    Usual(Usual<M>),
    /// The kernel has worked for it.
    Done(Box<Request<M>>, Status),
    /// The block device answers it by itself. If its memory has panicked, there is no chain.
    ByItself(Option<KeptChain<M>>),
}

/// The requests that were taken and not answered, in the order in which they were taken.
///
/// Those that end early wait here for those that were taken before.
pub(super) struct Order<M: StableMem> {
    /// The number of the first one.
    first: u64,
    /// Those that have not ended are `None`.
    ends: VecDeque<Option<End<M>>>,
}

impl<M: StableMem> Order<M> {
    pub(super) fn new(depth: usize) -> Self {
        Self { first: 0, ends: VecDeque::with_capacity(depth) }
    }

    /// Takes note of a request, and returns its number.
    pub(super) fn begin(&mut self) -> u64 {
        self.ends.push_back(None);
        self.first + (self.ends.len() as u64 - 1)
    }

    /// Takes note of how the request with this number has ended.
    pub(super) fn end(&mut self, number: u64, end: End<M>) {
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some(waiting) = place.and_then(|place| self.ends.get_mut(place)) {
            *waiting = Some(end);
        }
    }

    /// Returns the end of the first request, if it has ended.
    pub(super) fn next(&mut self) -> Option<End<M>> {
        let end = self.ends.front_mut()?.take()?;
        self.ends.pop_front();
        self.first += 1;
        Some(end)
    }

    /// Returns how many requests have not been answered.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }
}
