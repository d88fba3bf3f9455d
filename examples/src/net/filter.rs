//! Which frames a driver wants.

use arrayvec::ArrayVec;

/// A hardware address.
pub type MacAddress = [u8; 6];

/// The most addresses of a table that are remembered.
pub(super) const MAX_ADDRESSES: usize = 64;

/// The frames that a driver wants to receive, by their kind and their destination: VIRTIO 1.4 §5.1.6.5.1 "Packet
/// Receive Filtering" and §5.1.6.5.2 "Setting MAC Address Filtering".
///
/// At first, it wants all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// All frames, whatever else was said.
    pub promiscuous: bool,
    /// All multicast frames.
    pub all_multicast: bool,
    /// All unicast frames.
    pub all_unicast: bool,
    /// No multicast frames.
    pub no_multicast: bool,
    /// No unicast frames.
    pub no_unicast: bool,
    /// No broadcast frames.
    pub no_broadcast: bool,
    /// Unicast frames for this address. Without one, all unicast frames are for the driver.
    pub address: Option<MacAddress>,
    /// Unicast frames for these addresses.
    pub unicast: AddressTable,
    /// Multicast frames for these addresses.
    pub multicast: AddressTable,
}

impl Filter {
    /// Returns the filter of a driver that has said nothing, for a device with this address.
    #[must_use]
    pub fn new(address: Option<MacAddress>) -> Self {
        Self {
            promiscuous: true,
            all_multicast: false,
            all_unicast: false,
            no_multicast: false,
            no_unicast: false,
            no_broadcast: false,
            address,
            unicast: AddressTable::default(),
            multicast: AddressTable::default(),
        }
    }

    /// Returns whether the driver wants `frame`, which begins with its destination.
    #[must_use]
    pub fn passes(&self, frame: &[u8]) -> bool {
        let Some(destination) = frame.first_chunk() else { return false };
        self.promiscuous
            || match destination {
                [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => !self.no_broadcast,
                [first, ..] if first & 1 != 0 => {
                    !self.no_multicast && (self.all_multicast || self.multicast.has(destination))
                }
                _ => !self.no_unicast && (self.all_unicast || self.is_own(destination)),
            }
    }

    fn is_own(&self, destination: &MacAddress) -> bool {
        self.address.is_none_or(|address| address == *destination) || self.unicast.has(destination)
    }
}

/// A table of addresses. One with more than 64 of them has all addresses: a driver may get frames that it does not
/// want, but must get those that it wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressTable {
    addresses: ArrayVec<MacAddress, MAX_ADDRESSES>,
    has_all: bool,
}

impl AddressTable {
    /// Returns whether it has an address.
    #[must_use]
    pub fn has(&self, address: &MacAddress) -> bool {
        self.has_all || self.addresses.contains(address)
    }
}

impl Extend<MacAddress> for AddressTable {
    fn extend<I: IntoIterator<Item = MacAddress>>(&mut self, addresses: I) {
        self.has_all |= addresses.into_iter().any(|address| self.addresses.try_push(address).is_err());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: MacAddress = [2, 0, 0, 0, 0, 1];
    const OTHER: MacAddress = [2, 0, 0, 0, 0, 2];
    const GROUP: MacAddress = [0x33, 0x33, 0, 0, 0, 1];
    const OTHER_GROUP: MacAddress = [1, 0, 0x5e, 0, 0, 1];
    const EVERYBODY: MacAddress = [0xff; 6];

    fn table(addresses: &[MacAddress]) -> AddressTable {
        let mut table = AddressTable::default();
        table.extend(addresses.iter().copied());
        table
    }

    #[test]
    fn frames_pass_as_the_driver_says() {
        let own = || Filter { promiscuous: false, multicast: table(&[GROUP]), ..Filter::new(Some(OWN)) };
        // The filter, and whether OWN, OTHER, GROUP, OTHER_GROUP and EVERYBODY pass.
        let cases = [
            (Filter::new(None), [true; 5]),
            (Filter { no_unicast: true, no_multicast: true, no_broadcast: true, ..Filter::new(None) }, [true; 5]),
            (own(), [true, false, true, false, true]),
            (Filter { address: None, ..own() }, [true, true, true, false, true]),
            (Filter { unicast: table(&[OTHER]), ..own() }, [true, true, true, false, true]),
            (Filter { all_multicast: true, ..own() }, [true, false, true, true, true]),
            (Filter { all_unicast: true, ..own() }, [true, true, true, false, true]),
            (Filter { no_multicast: true, all_multicast: true, ..own() }, [true, false, false, false, true]),
            (Filter { no_unicast: true, all_unicast: true, ..own() }, [false, false, true, false, true]),
            (Filter { no_broadcast: true, ..own() }, [true, false, true, false, false]),
        ];
        for (filter, expected) in cases {
            assert_eq!(
                [OWN, OTHER, GROUP, OTHER_GROUP, EVERYBODY].map(|to| filter.passes(&to)),
                expected,
                "{filter:?}"
            );
        }
        assert!(!own().passes(&OWN[..5]));
    }

    #[test]
    fn table_that_is_too_long_has_all_addresses() {
        let many: Vec<_> = (0..=64).map(|last| [2, 0, 0, 0, 1, last]).collect();
        assert!(!table(&many[..64]).has(&OWN) && table(&many[..64]).has(&many[63]));
        assert!(table(&many).has(&OWN));
    }
}
