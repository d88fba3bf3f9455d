//! What a device can access of a memory, and where the memory is cut.

use alloc::vec::Vec;

use virtio_mem_traits::{Access, DriverAddr, DriverRange, TranslateError};

/// The restrictions of the device, and the borders between pieces of memory.
#[derive(Debug, Default)]
pub(crate) struct Restrictions {
    /// A later rule overrides earlier rules.
    rules: Vec<Rule>,
    splits: Vec<DriverAddr>,
}

#[derive(Debug)]
struct Rule {
    range: DriverRange,
    /// `None` if the range is a hole.
    allowed: Option<Access>,
}

impl Restrictions {
    pub(crate) const fn new() -> Self {
        Self { rules: Vec::new(), splits: Vec::new() }
    }

    /// Allows only `allowed` in `range`, or nothing.
    pub(crate) fn restrict(&mut self, range: DriverRange, allowed: Option<Access>) {
        self.rules.push(Rule { range, allowed });
    }

    /// Ends every piece at `addr` that begins before it.
    pub(crate) fn split_at(&mut self, addr: DriverAddr) {
        self.splits.push(addr);
    }

    /// Returns the piece at the start of `range` that is allowed and not cut.
    pub(crate) fn piece(&self, range: DriverRange, access: Access) -> Result<DriverRange, TranslateError> {
        let addr = range.start();
        match self.allowed(addr) {
            None => Err(TranslateError::Unmapped { addr }),
            Some(allowed) if !allowed.allows(access) => Err(TranslateError::Denied { addr, access }),
            Some(_) => Ok(range.prefix(self.piece_len(range, access))),
        }
    }

    fn allowed(&self, addr: DriverAddr) -> Option<Access> {
        let rule = self.rules.iter().rev().find(|rule| rule.range.offset_of(addr).is_some());
        rule.map_or(Some(Access::ReadWrite), |rule| rule.allowed)
    }

    fn allows(&self, addr: DriverAddr, access: Access) -> bool {
        self.allowed(addr).is_some_and(|allowed| allowed.allows(access))
    }

    /// Returns the length of the piece at the start of `range`, whose first byte is allowed. The piece ends at a split,
    /// or at the edge of a rule where `access` is not allowed any more.
    fn piece_len(&self, range: DriverRange, access: Access) -> u64 {
        let edges = self.rules.iter().flat_map(|rule| [rule.range.start(), rule.range.after(rule.range.len()).start()]);
        let ends = self.splits.iter().copied().chain(edges.filter(|edge| !self.allows(*edge, access)));
        let lens = ends.filter_map(|end| range.offset_of(end)).filter(|len| *len != 0);
        lens.min().unwrap_or(range.len())
    }
}
