//! A frame that says where a driver is.

use zerocopy::IntoBytes;

use super::filter::MacAddress;
use super::wire::{HEADER_LEN, NetHeader};

const BROADCAST: MacAddress = [0xff; 6];
/// The type of frames with RARP.
const ETHERTYPE: [u8; 2] = [0x80, 0x35];
/// Ethernet and IPv4, whose addresses have 6 and 4 bytes; and a request for the address of a host.
const REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 3];
const NO_IPV4_ADDRESS: [u8; 4] = [0; 4];

/// The least length of a frame on an Ethernet.
const LEN: usize = HEADER_LEN + 60;

/// Returns a packet with which the host with this hardware address asks everybody for its IPv4 address: RFC 903. Nobody
/// needs to answer. But each switch on the way learns where the host is.
#[must_use]
pub fn announcement(address: MacAddress) -> [u8; LEN] {
    let (header, none) = (NetHeader::received(1), &NO_IPV4_ADDRESS);
    let parts: [&[u8]; 9] =
        [header.as_bytes(), &BROADCAST, &address, &ETHERTYPE, &REQUEST, &address, none, &address, none];
    let mut packet = [0; LEN];
    for (place, byte) in packet.iter_mut().zip(parts.into_iter().flatten()) {
        *place = *byte;
    }
    packet
}
