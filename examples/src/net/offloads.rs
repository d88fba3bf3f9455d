//! Work on packets that one side leaves to the other.

use core::error::Error;
use core::fmt;

use zerocopy::{FromBytes, IntoBytes};

use super::lost::Lost;
use super::wire::{HEADER_LEN, MAX_FRAME, MAX_GSO_FRAME, MIN_FRAME, NetHeader, feature, gso, header_flag};

/// The segmentation of TCP, left to the device or to the driver.
const HOST_TSO: u64 = feature::HOST_TSO4 | feature::HOST_TSO6;
const GUEST_TSO: u64 = feature::GUEST_TSO4 | feature::GUEST_TSO6;

/// The least length of a TCP header.
const TCP_LEN: usize = 20;

/// Where the checksum is in a TCP header.
const TCP_CHECKSUM: u16 = 16;

/// The length of a checksum.
const SUM_LEN: usize = 2;

/// The work on packets that a driver and its device leave to each other: checksums, and the segmentation of TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    features: u64,
}

impl Offloads {
    /// Returns the offloads of a driver that accepted `features`. One without the feature that it requires, by VIRTIO
    /// 1.4 §5.1.3.1 "Feature bit requirements", is none.
    #[must_use]
    pub fn new(features: u64) -> Self {
        let requirements = [
            (HOST_TSO, feature::CSUM),
            (feature::HOST_ECN, HOST_TSO),
            (GUEST_TSO, feature::GUEST_CSUM),
            (feature::GUEST_ECN, GUEST_TSO),
        ];
        let features = requirements.into_iter().fold(features & feature::OFFLOADS, |features, (what, required)| {
            if features & required == 0 { features & !what } else { features }
        });
        Self { features }
    }

    /// Returns whether they include `feature`, or one of several.
    #[must_use]
    pub const fn include(self, feature: u64) -> bool {
        self.features & feature != 0
    }

    /// Returns the largest length of a frame that the driver sends.
    #[must_use]
    pub const fn max_sent(self) -> usize {
        if self.include(HOST_TSO) { MAX_GSO_FRAME } else { MAX_FRAME }
    }

    /// Checks the header of a packet that the driver sends, and returns it as a receiver gets it: VIRTIO 1.4 §5.1.6.2
    /// "Packet Transmission".
    ///
    /// What has no meaning is 0 there. Without [`feature::CSUM`], that is all of it. A hint about the length of the
    /// headers is no longer than the frame.
    ///
    /// # Errors
    ///
    /// If the header says what was not negotiated, or what cannot be true of the frame.
    #[inline]
    pub fn check(self, sent: &NetHeader, frame: &[u8]) -> Result<NetHeader, HeaderError> {
        match frame.len() {
            len if self.include(feature::CSUM) => self.check_meaning(sent, len),
            len if len > MAX_FRAME => Err(HeaderError::TooLong { len }),
            _ => Ok(NetHeader::received(1)),
        }
    }

    /// Checks a header that can leave work to the device, of a frame with `len` bytes.
    fn check_meaning(self, sent: &NetHeader, len: usize) -> Result<NetHeader, HeaderError> {
        let mut header = NetHeader::received(1);
        if sent.flags & header_flag::NEEDS_CSUM != 0 {
            let (start, offset) = (sent.csum_start.get(), sent.csum_offset.get());
            let end = usize::from(start) + usize::from(offset) + SUM_LEN;
            if usize::from(start) < MIN_FRAME || end > len {
                return Err(HeaderError::Checksum { start, offset, len });
            }
            (header.csum_start, header.csum_offset) = (sent.csum_start, sent.csum_offset);
            header.flags = header_flag::NEEDS_CSUM;
        }
        if sent.gso_type == gso::NONE {
            return if len > MAX_FRAME { Err(HeaderError::TooLong { len }) } else { Ok(header) };
        }
        if !self.includes_gso(sent.gso_type, [feature::HOST_TSO4, feature::HOST_TSO6, feature::HOST_ECN]) {
            return Err(HeaderError::GsoType(sent.gso_type));
        }
        check_segments(sent, &header, len)?;
        (header.gso_type, header.gso_size) = (sent.gso_type, sent.gso_size);
        header.hdr_len = u16::try_from(len).unwrap_or(u16::MAX).min(sent.hdr_len.get()).into();
        Ok(header)
    }

    /// Makes a packet for the driver of one with a header from elsewhere: VIRTIO 1.4 §5.1.6.4 "Processing of Incoming
    /// Packets".
    ///
    /// A checksum that is not left to this driver is written. What says that a checksum was verified is not passed on
    /// to it either.
    ///
    /// # Errors
    ///
    /// If the packet is to be cut into segments, and that is not left to this driver, or if it is malformed.
    pub fn receive(self, packet: &mut [u8]) -> Result<(), Lost> {
        let (place, frame) = packet.split_at_mut_checked(HEADER_LEN).ok_or(Lost)?;
        let mut header = NetHeader::read_from_bytes(place).map_err(|_| Lost)?;
        let tso = [feature::GUEST_TSO4, feature::GUEST_TSO6, feature::GUEST_ECN];
        let fits = match header.gso_type {
            gso::NONE => frame.len() <= MAX_FRAME,
            kind => frame.len() <= MAX_GSO_FRAME && self.includes_gso(kind, tso),
        };
        if !fits || frame.len() < MIN_FRAME {
            return Err(Lost);
        }
        if !self.include(feature::GUEST_CSUM) {
            if header.flags & header_flag::NEEDS_CSUM != 0 {
                write_checksum(frame, header.csum_start.get().into(), header.csum_offset.get().into()).ok_or(Lost)?;
            }
            header = NetHeader::default();
        }
        header.num_buffers = 1.into();
        header.write_to(place).map_err(|_| Lost)
    }

    /// Returns whether they include segments of a kind, of which `tso4`, `tso6` and `ecn` are the features.
    const fn includes_gso(self, kind: u8, [tso4, tso6, ecn]: [u64; 3]) -> bool {
        let tso = match kind & !gso::ECN {
            gso::TCPV4 => tso4,
            gso::TCPV6 => tso6,
            _ => return false,
        };
        self.include(tso) && (kind & gso::ECN == 0 || self.include(ecn))
    }
}

/// Checks what a header says of TCP segments, where `checked` is what it says of the checksum, in a frame of `len`
/// bytes.
fn check_segments(sent: &NetHeader, checked: &NetHeader, len: usize) -> Result<(), HeaderError> {
    if checked.flags & header_flag::NEEDS_CSUM == 0 {
        return Err(HeaderError::NoChecksum);
    }
    if sent.gso_size == 0 {
        return Err(HeaderError::NoPayload);
    }
    let (start, offset) = (checked.csum_start.get(), checked.csum_offset.get());
    if offset != TCP_CHECKSUM || usize::from(start) + TCP_LEN > len {
        return Err(HeaderError::NoTcp { start, offset, len });
    }
    if len > MAX_GSO_FRAME { Err(HeaderError::TooLong { len }) } else { Ok(()) }
}

/// Writes the sum of the bytes from `start` on to the place at `offset` from there, which has the sum of a pseudo
/// header already. Returns `None` if there is no such place.
fn write_checksum(frame: &mut [u8], start: usize, offset: usize) -> Option<()> {
    let summed = frame.get_mut(start..)?;
    let words = summed.chunks(2).map(|word| match *word {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        // A zero comes after the last byte of an odd number.
        [high] => u64::from(u16::from_be_bytes([high, 0])),
        _ => 0,
    });
    let sum: u64 = words.sum();
    // At most 2^15 words: one fold leaves 17 bits, and another one 16.
    let folded = [16, 16].into_iter().fold(sum, |sum, bits| (sum & 0xffff) + (sum >> bits));
    #[expect(clippy::cast_possible_truncation, reason = "it was folded to 16 bits")]
    let checksum = match !(folded as u16) {
        // UDP: 0 would mean that there is none. It is the same number to others.
        0 => 0xffff,
        checksum => checksum,
    };
    *summed.get_mut(offset..)?.first_chunk_mut()? = checksum.to_be_bytes();
    Some(())
}

/// The reason why the header of a packet that a driver sends is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// The checksum is not in the frame, or begins in the Ethernet header.
    Checksum {
        /// Where the sum begins.
        start: u16,
        /// Where it belongs, from there on.
        offset: u16,
        /// The length of the frame.
        len: usize,
    },
    /// The type of segments is unknown, or was not negotiated.
    GsoType(u8),
    /// The segments have no payload.
    NoPayload,
    /// The packet is to be cut into segments, and its checksum is not left to the device.
    NoChecksum,
    /// The packet is to be cut into TCP segments, and the checksum is not that of a TCP header.
    NoTcp {
        /// Where the sum begins.
        start: u16,
        /// Where it belongs, from there on.
        offset: u16,
        /// The length of the frame.
        len: usize,
    },
    /// The frame is too long.
    TooLong {
        /// The length of the frame.
        len: usize,
    },
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checksum { start, offset, len } => {
                write!(f, "a checksum at {start} + {offset} of a frame of {len} bytes: it must be in the frame, and ")?;
                write!(f, "begin after {MIN_FRAME} bytes")
            }
            Self::GsoType(kind) => write!(f, "segments of type {kind:#x} were not negotiated"),
            Self::NoPayload => f.write_str("segments of 0 bytes: each must have at least one"),
            Self::NoChecksum => f.write_str("segments without NEEDS_CSUM: the device must write their checksums"),
            Self::NoTcp { start, offset, len } => {
                write!(f, "a checksum at {start} + {offset} of a frame of {len} bytes: segments must have a TCP ")?;
                write!(f, "header there, with its checksum at {TCP_CHECKSUM}")
            }
            Self::TooLong { len } => {
                write!(f, "a frame of {len} bytes: at most {MAX_FRAME}, or {MAX_GSO_FRAME} to be cut into segments")
            }
        }
    }
}

impl Error for HeaderError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of the example in RFC 1071, whose sum is 0xddf2, and sums with more carries.
    #[test]
    fn checksum_is_that_of_all_bytes_from_its_start() {
        let table: [(&[u8], u16); 4] = [
            (&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7, 0, 0], !0xddf2),
            (&[0xff, 0xff, 0, 1, 0, 0], !1),
            // Nothing but ones: 0 is written as its other form.
            (&[0xff, 0xff, 0xff, 0xff, 0, 0], 0xffff),
            // An odd number of bytes.
            (&[0, 0, 0x12, 0x34, 0x56], !0x6834),
        ];
        for (bytes, expected) in table {
            let place = bytes.windows(2).position(|word| word == [0, 0]).unwrap();
            let mut frame = [&[0xee; 3], bytes].concat();
            write_checksum(&mut frame, 3, place).unwrap();
            assert_eq!(frame[3 + place..][..2], expected.to_be_bytes(), "{bytes:x?}");
        }
    }

    #[test]
    fn checksum_without_a_place_is_refused() {
        for (start, offset) in [(11, 0), (0, 9), (9, 0), (10, 0), (usize::from(u16::MAX), usize::from(u16::MAX))] {
            assert_eq!(write_checksum(&mut [0; 10], start, offset), None, "{start} + {offset}");
        }
    }
}
