//! How the record lies in memory: the structures of the vhost-user text, in the byte order of the machine.

use core::mem::offset_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, transmute};

/// The version of the record. Zero is one that nobody has begun.
pub(super) const VERSION: u16 = 1;

/// How the part for one queue lies in memory: a header, and an entry for each descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLayout {
    header: u64,
    entry: u64,
}

/// That of a split queue.
pub(super) const SPLIT: QueueLayout = QueueLayout { header: SplitHeader::SIZE as u64, entry: SplitEntry::SIZE as u64 };

/// That of a packed queue, which takes more room.
pub(super) const PACKED: QueueLayout =
    QueueLayout { header: PackedHeader::SIZE as u64, entry: PackedEntry::SIZE as u64 };

impl QueueLayout {
    /// Returns the length of a part, for a queue of `size`.
    pub(super) fn len(self, size: u16) -> u64 {
        self.header + self.entry * u64::from(size)
    }

    /// Returns how far apart two parts are. libvhost-user and DPDK align them like this.
    pub(super) fn stride(self, size: u16) -> u64 {
        self.len(size).next_multiple_of(64)
    }
}

/// What both headers begin with. In that of a packed queue, other fields follow after `desc_num`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Common {
    pub(super) features: u64,
    pub(super) version: u16,
    pub(super) desc_num: u16,
    others: [u16; 2],
}

impl Common {
    pub(super) const FEATURES: usize = offset_of!(Self, features);
    pub(super) const VERSION: usize = offset_of!(Self, version);
    pub(super) const DESC_NUM: usize = offset_of!(Self, desc_num);

    /// Takes the first two words of a header apart.
    pub(super) fn of(words: [u64; 2]) -> Self {
        transmute!(words)
    }
}

/// `QueueRegionSplit`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct SplitHeader {
    pub(super) features: u64,
    pub(super) version: u16,
    pub(super) desc_num: u16,
    /// The head that was returned last. The heads of one batch are a list that begins here.
    pub(super) last_batch_head: u16,
    /// The used index of the ring, when all of the last batch was taken note of.
    pub(super) used_idx: u16,
}

impl SplitHeader {
    pub(super) const SIZE: usize = size_of::<Self>();
    pub(super) const LAST_BATCH_HEAD: usize = offset_of!(Self, last_batch_head);
    pub(super) const USED_IDX: usize = offset_of!(Self, used_idx);

    /// Takes a header apart.
    pub(super) fn of(words: [u64; 2]) -> Self {
        transmute!(words)
    }
}

/// `DescStateSplit`, of the chain whose head has the same index.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct SplitEntry {
    pub(super) inflight: u8,
    pub(super) padding: [u8; 5],
    /// The head that was returned before this one.
    pub(super) next: u16,
    /// Counts up with each chain that was fetched.
    pub(super) counter: u64,
}

impl SplitEntry {
    const SIZE: usize = size_of::<Self>();
    pub(super) const INFLIGHT: usize = offset_of!(Self, inflight);
    pub(super) const NEXT: usize = offset_of!(Self, next);
    pub(super) const COUNTER: usize = offset_of!(Self, counter);

    /// Takes an entry apart.
    pub(super) fn of(words: [u64; 2]) -> Self {
        transmute!(words)
    }

    /// Returns where an entry is.
    pub(super) fn at(index: u16) -> usize {
        SplitHeader::SIZE + usize::from(index) * Self::SIZE
    }
}

/// `QueueRegionPacked`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct PackedHeader {
    pub(super) features: u64,
    pub(super) version: u16,
    pub(super) desc_num: u16,
    /// The first entry that is free, if the batch that is being returned is.
    pub(super) free_head: u16,
    /// The first entry that is free, if it is not.
    pub(super) old_free_head: u16,
    /// The used position after the batch.
    pub(super) used_idx: u16,
    /// The used position before it.
    pub(super) old_used_idx: u16,
    pub(super) used_wrap_counter: u8,
    pub(super) old_used_wrap_counter: u8,
    pub(super) padding: [u8; 10],
}

impl PackedHeader {
    pub(super) const SIZE: usize = size_of::<Self>();
    pub(super) const FEATURES: usize = offset_of!(Self, features);
    /// The word that has the version and both free lists.
    pub(super) const LISTS: usize = offset_of!(Self, version);
    /// The word that has both used positions.
    pub(super) const USED: usize = offset_of!(Self, used_idx);

    /// Takes a header apart.
    pub(super) fn of(words: [u64; 4]) -> Self {
        transmute!(words)
    }

    /// Puts a header together.
    pub(super) fn words(self) -> [u64; 4] {
        transmute!(self)
    }
}

/// `DescStatePacked`: a descriptor of a chain, in the order in which entries were free.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct PackedEntry {
    /// 1 in the first entry of a chain in flight.
    pub(super) inflight: u8,
    pub(super) padding: u8,
    /// The entry of the next descriptor of the chain, or the next free entry.
    pub(super) next: u16,
    /// In the first entry: that of the last descriptor of the chain.
    pub(super) last: u16,
    /// In the first entry: the number of descriptors of the chain.
    pub(super) num: u16,
    /// In the first entry: counts up with each chain that was fetched.
    pub(super) counter: u64,
    pub(super) id: u16,
    pub(super) flags: u16,
    pub(super) len: u32,
    pub(super) addr: u64,
}

impl PackedEntry {
    const SIZE: usize = size_of::<Self>();
    pub(super) const INFLIGHT: usize = offset_of!(Self, inflight);
    pub(super) const NEXT: usize = offset_of!(Self, next);
    pub(super) const COUNTER: usize = offset_of!(Self, counter);
    /// The word that has all of the descriptor but its address.
    pub(super) const DESCRIPTOR: usize = offset_of!(Self, id);
    pub(super) const ADDR: usize = offset_of!(Self, addr);

    /// Takes an entry apart.
    pub(super) fn of(words: [u64; 4]) -> Self {
        transmute!(words)
    }

    /// Puts an entry together.
    pub(super) fn words(self) -> [u64; 4] {
        transmute!(self)
    }

    /// Returns where an entry is.
    pub(super) fn at(index: u16) -> usize {
        PackedHeader::SIZE + usize::from(index) * Self::SIZE
    }
}

/// Returns the word that has `inflight`, and padding above it.
pub(super) fn inflight(is_in_flight: bool) -> u16 {
    u16::from_ne_bytes([is_in_flight.into(), 0])
}
