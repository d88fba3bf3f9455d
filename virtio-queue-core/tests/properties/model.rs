//! What an honest driver and a device must see, in the simplest form.

use std::collections::{HashMap, VecDeque};

use virtio_fake_driver::DriverChain;
use virtio_mem_traits::DriverRange;
use virtio_queue_core::Token;

use crate::action::Kind;

/// A chain in the hands of the device.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) token: Token,
    pub(crate) id: u16,
    /// The number of the fetch, or `None` if the chain was adopted.
    pub(crate) fetch: Option<usize>,
    pub(crate) written: u32,
    pub(crate) writable: Vec<DriverRange>,
}

/// What is known of each chain of an honest driver.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// The chains that were published and not taken back, by their ids.
    pub(crate) chains: HashMap<u16, DriverChain>,
    pub(crate) available: VecDeque<u16>,
    /// The chains that were fetched and not taken back, in this order.
    pub(crate) fetched: VecDeque<u16>,
    /// The lengths of chains that were returned and not taken back.
    pub(crate) returned: HashMap<u16, u32>,
    /// The fetches that can be undone, the last one last.
    pub(crate) fetches: Vec<usize>,
    count: usize,
    /// The number of chains that were put back since the last fetch.
    pub(crate) put_back: usize,
    /// Whether the device has asked for kicks, and whether it relies on one for the next chain.
    pub(crate) kicks: bool,
    pub(crate) waits: bool,
    pub(crate) driver: Waits,
}

/// Whether the driver waits for a notification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Waits {
    #[default]
    Yes,
    /// It has got the one that it asked for.
    Told,
    No,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self { kicks: true, ..Self::default() }
    }

    /// The next available chain is fetched. Returns its id and the number of the fetch.
    pub(crate) fn fetch(&mut self) -> (u16, usize) {
        let id = self.available.pop_front().expect("a chain is fetched only if one is available");
        self.fetched.push_back(id);
        self.count += 1;
        self.fetches.push(self.count);
        self.put_back = 0;
        (id, self.count)
    }

    /// Returns whether a chain can be put back, if the model knows.
    pub(crate) fn can_put_back(&self, fetch: Option<usize>) -> Option<bool> {
        fetch.map(|fetch| self.fetches.last() == Some(&fetch))
    }

    pub(crate) fn put_back(&mut self, id: u16) {
        self.fetches.pop();
        let at = self.fetched.iter().rposition(|other| *other == id).expect("a chain that is put back was fetched");
        self.fetched.remove(at);
        self.available.push_front(id);
        self.put_back += 1;
    }

    pub(crate) fn give_back(&mut self, id: u16, written: u32) {
        assert_eq!(self.returned.insert(id, written), None, "chain {id} is returned once");
    }

    /// The device has found nothing more.
    pub(crate) fn found_nothing(&mut self) {
        assert!(self.available.is_empty(), "{:?} were not found", self.available);
        self.waits = self.kicks;
    }

    /// A chain was taken back by the driver, with the bytes of that length in it.
    pub(crate) fn take_back(&mut self, id: u16, bytes: &[u8]) {
        let written = self.returned.remove(&id).expect("a chain that is taken back was returned");
        let chain = self.chains.remove(&id).expect("a chain is taken back once");
        assert_eq!(bytes.len(), written as usize, "chain {id}");
        assert!(u64::from(written) <= chain.writable_len() && bytes.iter().copied().eq(pattern(written)));
        let at = self.fetched.iter().position(|other| *other == id).expect("it was fetched");
        self.fetched.remove(at);
    }

    /// Checks that the driver could take back all that it must be able to.
    pub(crate) fn check_taken_back(&self, kind: Kind) {
        if kind.keeps_order() {
            let next = self.fetched.front().is_none_or(|id| !self.returned.contains_key(id));
            assert!(next, "{:?} is returned and not published", self.fetched.front());
        } else {
            assert!(self.returned.is_empty(), "{:?} are returned and not published", self.returned);
        }
    }
}

/// What the device writes into each chain.
pub(crate) fn pattern(len: u32) -> impl Iterator<Item = u8> {
    (0..len).map(|at| at as u8 ^ 0xa5)
}
