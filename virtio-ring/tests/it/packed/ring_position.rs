//! Positions in a ring, and their wrap counter.

use virtio_ring::packed::{OffWrap, RingPosition};

use super::{at, size};

/// PACK-WRAP-1, PACK-WRAP-4, REG-2, AMB-12: positions against a count without end, for every step in small rings and
/// for the large ones near their ends. The counter flips with every pass of the end, by exactly N too.
#[test]
fn ring_position_advances_as_modelled() {
    let model = |n: u16, position: u32| {
        let (lap, slot) = (position / u32::from(n), position % u32::from(n));
        (slot as u16, lap % 2 == 0)
    };
    let start = RingPosition::START;
    assert_eq!((start.slot(), start.wrap(), start.off_wrap().bits()), (0, true, 0x8000));
    for n in [1, 2, 3, 5, 8, 255, 32767, 32768] {
        let lap = u32::from(n);
        let near = |around: u32| (around.saturating_sub(3)..around + 3).collect::<Vec<_>>();
        for from in [near(0), near(lap), near(2 * lap)].concat() {
            let (slot, wrap) = model(n, from);
            for step in [near(0), near(lap), near(2 * lap)].concat().into_iter().filter(|step| *step <= 0xffff) {
                let reached = at(n, slot, wrap).advanced(step as u16, size(n));
                let expected = model(n, from + step);
                assert_eq!((reached.slot(), reached.wrap()), expected, "{step} from {from} in {n}");
                assert_eq!(reached.off_wrap(), OffWrap::new(expected.0, expected.1));
            }
        }
    }
}

/// HOST-30, EVA-16: of all places that may be named, a ring has those inside of it.
#[test]
fn ring_position_outside_of_ring_is_none() {
    for n in [1, 3, 256, 32767, 32768] {
        for bits in 0..=u16::MAX {
            let place = OffWrap::from_bits(bits);
            let position = RingPosition::from_off_wrap(place, size(n));
            assert_eq!(position.map(|position| position.off_wrap()), Some(place).filter(|_| bits & 0x7fff < n));
        }
    }
}
