//! What drivers and devices do, as values that can be chosen at random and made simpler.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};

/// The rings that a queue can have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Split,
    Packed,
    Any,
    AnyPacked,
    Ordered,
    OrderedPacked,
    InOrder,
    InOrderPacked,
    Recorded,
    RecordedPacked,
}

pub(crate) const KINDS: [Kind; 10] = [
    Kind::Split,
    Kind::Packed,
    Kind::Any,
    Kind::AnyPacked,
    Kind::Ordered,
    Kind::OrderedPacked,
    Kind::InOrder,
    Kind::InOrderPacked,
    Kind::Recorded,
    Kind::RecordedPacked,
];

impl Kind {
    pub(crate) const fn is_packed(self) -> bool {
        matches!(
            self,
            Self::Packed | Self::AnyPacked | Self::OrderedPacked | Self::InOrderPacked | Self::RecordedPacked
        )
    }

    /// Returns whether chains go back in the order in which they were fetched.
    pub(crate) const fn keeps_order(self) -> bool {
        self.negotiates_order() || matches!(self, Self::Ordered | Self::OrderedPacked)
    }

    pub(crate) const fn negotiates_order(self) -> bool {
        matches!(self, Self::InOrder | Self::InOrderPacked)
    }
}

/// A queue and its memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) kind: Kind,
    pub(crate) size: u16,
    pub(crate) event_idx: bool,
    /// Whether the memory wants reports of accesses.
    pub(crate) reports: bool,
}

pub(crate) fn setup() -> impl Strategy<Value = Setup> {
    (select(&KINDS[..]), 1..=8_u16, any::<bool>(), any::<bool>()).prop_map(|(kind, size, event_idx, reports)| {
        let size = if kind.is_packed() { size } else { size.next_power_of_two() };
        Setup { kind, size, event_idx, reports }
    })
}

/// The lengths of the elements of a chain.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) readable: Vec<u8>,
    pub(crate) writable: Vec<u8>,
    pub(crate) indirect: bool,
}

fn shape() -> impl Strategy<Value = Shape> {
    let len = || 0..9_u8;
    let single = (len(), any::<bool>())
        .prop_map(|(len, writes)| if writes { ([].into(), [len].into()) } else { ([len].into(), [].into()) });
    let lens = prop_oneof![single, (vec(len(), 0..4), vec(len(), 0..4))];
    (lens, any::<bool>()).prop_map(|((readable, writable), indirect)| Shape { readable, writable, indirect })
}

/// What the device does with a chain that it has fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    Drop,
    Return,
    Hold,
    PutBack,
}

fn then() -> impl Strategy<Value = Then> {
    prop_oneof![1 => Just(Then::Drop), 3 => Just(Then::Return), 4 => Just(Then::Hold), 1 => Just(Then::PutBack)]
}

/// How a suspended queue goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum After {
    Cancel,
    Resume,
    Restore,
}

/// What a hostile driver writes, at places and with values that mean something.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Corruption {
    /// A byte of one of the three areas.
    Byte { area: usize, at: Index, value: u8 },
    /// A descriptor in the ring or in the space for tables.
    Descriptor { at: Index, addr: u64, len: u32, last: u32 },
    /// The available index of a split ring, or the driver's event suppression of a packed one.
    Index(u16),
    /// One more entry of a split ring, or one more descriptor of a packed one.
    Offer { head: u16, flags: u16 },
}

fn corruption() -> impl Strategy<Value = Corruption> {
    let addr = prop_oneof![4 => 0..0x2100_u64, 1 => any::<u64>()];
    let len = prop_oneof![4 => 0..10_u32, 4 => (0..12_u32).prop_map(|entries| 16 * entries), 1 => any::<u32>()];
    let last = prop_oneof![4 => (0..8_u32, 0..10_u32).prop_map(|(flags, next)| flags | next << 16), 1 => any::<u32>()];
    prop_oneof![
        2 => (0..3_usize, any::<Index>(), any::<u8>())
            .prop_map(|(area, at, value)| Corruption::Byte { area, at, value }),
        6 => (any::<Index>(), addr, len, last)
            .prop_map(|(at, addr, len, last)| Corruption::Descriptor { at, addr, len, last }),
        1 => any::<u16>().prop_map(Corruption::Index),
        6 => (0..9_u16, 0..8_u16).prop_map(|(head, flags)| Corruption::Offer { head, flags }),
    ]
}

/// One step of a driver or of a device.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// The driver publishes chains, and kicks if it has to.
    Publish(Vec<Shape>),
    /// The driver takes everything back, and waits for more or not.
    Reap {
        wait: bool,
    },
    Corrupt(Corruption),
    Fetch(Then),
    Burst(Vec<Then>),
    Serve {
        limit: usize,
    },
    Gather {
        limit: usize,
        writes: bool,
        keep: bool,
    },
    Complete(Index),
    CompleteAll {
        count: Index,
        backwards: bool,
    },
    PutBack(Index),
    Suppress,
    Enable,
    EnableForMore,
    /// The device gets another handle on the memory.
    Rebind,
    Suspend(After),
    /// The device loses everything but its positions and the heads of the chains in flight.
    Crash,
    Reset,
    /// The device returns a chain of before the last reset.
    ReturnStale,
}

/// What an honest driver does, and a device.
pub(crate) fn honest() -> impl Strategy<Value = Action> {
    let after = select(&[After::Cancel, After::Resume, After::Restore][..]);
    prop_oneof![
        12 => vec(shape(), 1..4).prop_map(Action::Publish),
        6 => any::<bool>().prop_map(|wait| Action::Reap { wait }),
        8 => then().prop_map(Action::Fetch),
        4 => vec(then(), 0..6).prop_map(Action::Burst),
        4 => (0..10_usize).prop_map(|limit| Action::Serve { limit }),
        4 => (0..10_usize, any::<bool>(), any::<bool>())
            .prop_map(|(limit, writes, keep)| Action::Gather { limit, writes, keep }),
        6 => any::<Index>().prop_map(Action::Complete),
        3 => any::<(Index, bool)>().prop_map(|(count, backwards)| Action::CompleteAll { count, backwards }),
        3 => any::<Index>().prop_map(Action::PutBack),
        2 => Just(Action::Suppress),
        3 => Just(Action::Enable),
        3 => Just(Action::EnableForMore),
        1 => Just(Action::Rebind),
        1 => after.prop_map(Action::Suspend),
        1 => Just(Action::Crash),
        1 => Just(Action::Reset),
        1 => Just(Action::ReturnStale),
    ]
}

/// What a hostile driver does, and a device.
pub(crate) fn hostile() -> impl Strategy<Value = Action> {
    prop_oneof![1 => corruption().prop_map(Action::Corrupt), 1 => honest()]
}
