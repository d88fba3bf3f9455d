//! Frames of a kind that both sides can check.

use core::mem::offset_of;

use static_assertions::const_assert_eq;
use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute_ref};

const ETHERTYPE_IPV4: u16 = 0x0800;
const PROTOCOL_UDP: u8 = 17;
/// Version 4, and five words of header.
const VERSION_AND_LENGTH: u8 = 0x45;
/// The UDP port whose packets are discarded.
const DISCARD_PORT: u16 = 9;
const ETHERNET_LEN: u16 = 14;
const IPV4_LEN: u16 = 20;

/// The beginning of a frame with a UDP packet, and a number.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct NumberedFrame {
    destination: [u8; 6],
    source: [u8; 6],
    ethertype: U16,
    ip: Ipv4Header,
    udp: UdpHeader,
    number: U64,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Ipv4Header {
    version_and_length: u8,
    service: u8,
    total_length: U16,
    identification: U16,
    fragment: U16,
    time_to_live: u8,
    protocol: u8,
    checksum: U16,
    source: U32,
    destination: U32,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct UdpHeader {
    source: U16,
    destination: U16,
    length: U16,
    /// 0: there is none.
    checksum: U16,
}

const_assert_eq!(size_of::<NumberedFrame>(), NumberedFrame::LEN as usize);
const_assert_eq!(offset_of!(NumberedFrame, ip), ETHERNET_LEN as usize);
const_assert_eq!(size_of::<Ipv4Header>(), IPV4_LEN as usize);

impl NumberedFrame {
    /// The least length of such a frame.
    pub(super) const LEN: u16 = 50;

    /// Where the number is.
    pub(super) const NUMBER: usize = offset_of!(Self, number);

    /// Returns the beginning of a frame of `len` bytes, from the sender `flow` to everybody, with the number 0.
    pub(super) fn new(len: u16, flow: u8) -> Self {
        let ip_len = len - ETHERNET_LEN;
        let ip = Ipv4Header {
            version_and_length: VERSION_AND_LENGTH,
            service: 0,
            total_length: U16::new(ip_len),
            identification: U16::ZERO,
            fragment: U16::ZERO,
            time_to_live: 64,
            protocol: PROTOCOL_UDP,
            checksum: U16::ZERO,
            // Addresses that are set aside for measuring.
            source: U32::from_bytes([198, 18, 1, flow]),
            destination: U32::from_bytes([198, 18, 0, 1]),
        };
        let port = U16::new(DISCARD_PORT);
        Self {
            destination: [0xff; 6],
            source: [0x02, 0, 0, 0, 0, flow],
            ethertype: U16::new(ETHERTYPE_IPV4),
            ip: Ipv4Header { checksum: U16::new(!sum(&ip)), ..ip },
            udp: UdpHeader {
                source: port,
                destination: port,
                length: U16::new(ip_len - IPV4_LEN),
                checksum: U16::ZERO,
            },
            number: U64::ZERO,
        }
    }
}

/// Returns whether nothing is wrong with a frame, as far as that can be seen: an IPv4 header has its checksum, and
/// lengths that fit into each other. There is nothing to be seen in frames of other kinds.
#[inline]
pub(super) fn is_sound(frame: &[u8]) -> bool {
    let Some((ethernet, packet)) = frame.split_at_checked(ETHERNET_LEN.into()) else { return false };
    if !ethernet.ends_with(&ETHERTYPE_IPV4.to_be_bytes()) {
        return true;
    }
    let Ok((ip, rest)) = Ipv4Header::ref_from_prefix(packet) else { return false };
    if ip.version_and_length != VERSION_AND_LENGTH {
        // Options are rare, and not looked at.
        return ip.version_and_length >> 4 == 4;
    }
    let Some(len) = ip.total_length.get().checked_sub(IPV4_LEN) else { return false };
    let fits = usize::from(len) <= rest.len();
    fits && sum(ip) == 0xffff && (ip.protocol != PROTOCOL_UDP || is_udp(rest, len))
}

/// Returns whether a UDP header says what the one before it says.
fn is_udp(datagram: &[u8], len: u16) -> bool {
    UdpHeader::ref_from_prefix(datagram).is_ok_and(|(udp, _)| udp.length.get() == len)
}

/// Returns the ones' complement sum of the 16-bit words in a header. It is the same for words of twice that length, and
/// in the other byte order but for that.
#[inline]
fn sum(header: &Ipv4Header) -> u16 {
    let words: &[[u8; 4]; 5] = transmute_ref!(header);
    let sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let folded = [32, 16, 16].into_iter().fold(sum, |sum, bits| (sum & ((1 << bits) - 1)) + (sum >> bits));
    // Of five words, what is above their 32 bits is small, and what is above 16 bits after that at most a carry.
    #[expect(clippy::cast_possible_truncation, reason = "that is how the sum is defined")]
    u16::from_be(folded as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: u16) -> Vec<u8> {
        let mut frame = vec![0; len.into()];
        NumberedFrame::new(len, 7).write_to_prefix(&mut frame).unwrap();
        frame
    }

    #[test]
    fn frame_made_here_is_sound() {
        for len in [NumberedFrame::LEN, 64, 1518, 9216] {
            assert!(is_sound(&frame(len)), "{len}");
        }
    }

    /// Words as the header has them, with one carry and more: the example of RFC 1071, and the largest sums.
    #[test]
    fn sum_folds_every_carry() {
        let table: [([u16; 10], u16); 4] = [
            ([0x0001, 0xf203, 0xf4f5, 0xf6f7, 0, 0, 0, 0, 0, 0], 0xddf2),
            ([0xffff, 0xffff, 0x0001, 0, 0, 0, 0, 0, 0, 0], 0x0001),
            ([0xffff; 10], 0xffff),
            ([0xffff, 0xfffe, 0xffff, 0xfffe, 0xffff, 0xfffe, 0xffff, 0xfffe, 0xffff, 0xfffe], 0xfffa),
        ];
        for (words, expected) in table {
            let words = words.map(U16::new);
            assert_eq!(sum(transmute_ref!(&words)), expected, "{words:x?}");
        }
    }

    #[test]
    fn frame_spoiled_in_its_headers_is_not_sound() {
        for at in usize::from(ETHERNET_LEN)..usize::from(ETHERNET_LEN + IPV4_LEN) {
            let mut spoiled = frame(64);
            spoiled[at] ^= 0x40;
            // Another version is not looked at any further.
            assert!(!is_sound(&spoiled), "byte {at}");
        }
        let mut spoiled = frame(64);
        spoiled[39] ^= 1;
        assert!(!is_sound(&spoiled), "the length in the UDP header");
        assert!(!is_sound(&frame(64)[..63]), "a frame that was cut");
        assert!(!is_sound(&frame(64)[..20]), "a header that was cut");
        assert!(!is_sound(&frame(64)[..13]), "no header");
    }

    #[test]
    fn frame_of_another_kind_is_taken_as_it_is() {
        let mut other = frame(64);
        other[13] = 6;
        other[20] ^= 0xff;
        assert!(is_sound(&other));
        assert!(is_sound(&other[..14]));
    }
}
