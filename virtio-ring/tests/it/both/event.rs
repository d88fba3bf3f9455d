//! The event arithmetic against slow and obvious models.

use virtio_ring::event::{packed_crossed, split_crossed};
use virtio_ring::packed::{self, OffWrap};
use virtio_ring::split::RingIndex;

/// The model of a split ring: `event` is one of the `count` entries that follow `old` (EVA-1).
fn split_model(event: u16, old: u16, count: u32) -> bool {
    (0..count.min(1 << 16)).any(|added| u32::from(event) == (u32::from(old) + added) % (1 << 16))
}

fn check_split(event: u16, old: u16, count: u32) {
    let new = RingIndex::new(old).advanced(count as u16);
    let crossed = split_crossed(RingIndex::new(event), new, count);
    assert_eq!(crossed, split_model(event, old, count), "event {event}, {count} entries from {old} on");
}

/// EVA-1, EVA-4: every event around every small window, near each place where something wraps.
#[test]
fn split_crossed_small_windows_agree_with_model() {
    for old in [0_u16, 1, 2, 0x7fff, 0x8000, 0xfff0, 0xfffe, 0xffff] {
        for count in 0..=20 {
            for event in -25_i16..=25 {
                check_split(old.wrapping_add_signed(event), old, count);
            }
        }
    }
}

/// EVA-1, EVA-2: a window of any length, wherever it is.
#[test]
fn split_crossed_random_windows_agree_with_model() {
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as u16
    };
    for _ in 0..2_000 {
        check_split(random(), random(), u32::from(random()));
    }
}

/// EVA-2: nothing new crosses nothing.
#[test]
fn split_crossed_no_entries_never() {
    for event in 0..=u16::MAX {
        assert!(!split_crossed(RingIndex::new(event), RingIndex::new(77), 0));
    }
}

/// EVA-3: a whole turn or more crosses everything, although its length is 0 modulo 2^16.
#[test]
fn split_crossed_whole_turn_always() {
    for event in 0..=u16::MAX {
        for count in [1 << 16, (1 << 16) + 1, 1 << 20, u32::MAX] {
            assert!(split_crossed(RingIndex::new(event), RingIndex::new(5), count));
        }
    }
}

/// EVA-13: an event that never moves happens once in 2^16 entries.
#[test]
fn split_crossed_still_event_once_a_turn() {
    let event = RingIndex::new(0);
    let fired = (0..(1 << 16) + 10_u32)
        .filter(|&entry| split_crossed(event, RingIndex::new(entry as u16).advanced(1), 1))
        .collect::<Vec<_>>();
    assert_eq!(fired, [0, 1 << 16]);
}

/// The model of a packed ring, in positions that count on without end: the slot is the position modulo the size, and
/// the wrap counter is 1 in every lap with an even number (EVA-5).
fn packed_model(size: u32, event: OffWrap, old: u32, count: u32) -> bool {
    (old..old + count)
        .any(|position| position % size == event.offset().into() && (position / size % 2 == 0) == event.wrap())
}

fn off_wrap(size: u32, position: u32) -> OffWrap {
    OffWrap::new((position % size) as u16, position / size % 2 == 0)
}

fn check_packed(size: u16, event: OffWrap, old: u32, count: u32) {
    let lap = u32::from(size);
    let size = packed::QueueSize::new(size).unwrap();
    let crossed = packed_crossed(size, event, off_wrap(lap, old + count), count);
    // A whole lap passes every slot, if perhaps in the other lap: a notification too many is the safe answer (EVA-10).
    let model = count >= lap || packed_model(lap, event, old, count);
    assert_eq!(crossed, model, "size {lap}, {event:?}, {count} descriptors from position {old} on");
}

/// EVA-5, EVA-6, EVA-7, EVA-8, EVA-10: everything there is in small rings, the position after a wrap included.
#[test]
fn packed_crossed_small_rings_agree_with_model() {
    for size in 1..=13_u16 {
        let lap = u32::from(size);
        for old in 0..2 * lap {
            for count in 0..=2 * lap {
                for offset in 0..size {
                    check_packed(size, OffWrap::new(offset, true), old, count);
                    check_packed(size, OffWrap::new(offset, false), old, count);
                }
            }
        }
    }
}

/// EVA-6 at sizes where 15 and 16 bits end.
#[test]
fn packed_crossed_large_rings_agree_with_model() {
    for size in [255_u16, 256, 257, 32767, 32768] {
        let lap = u32::from(size);
        for old in [0, 1, lap - 2, lap - 1, lap, lap + 1, 2 * lap - 2, 2 * lap - 1] {
            for count in [0, 1, 2, 3, 17, lap - 1, lap] {
                for near in [old, old + 1, old + count.max(1) - 1, old + count, old + count + 1, old + lap] {
                    check_packed(size, off_wrap(lap, near), old, count);
                }
            }
        }
    }
}

/// EVA-9: an event in the middle of a list of descriptors happens, although no list begins or ends there.
#[test]
fn packed_crossed_event_inside_a_list_counts() {
    let size = packed::QueueSize::new(8).unwrap();
    let new = OffWrap::new(2, false);
    let crossed = (0..8).filter(|&offset| packed_crossed(size, OffWrap::new(offset, true), new, 5));
    assert_eq!(crossed.collect::<Vec<_>>(), [5, 6, 7]);
}

/// EVA-16: whatever the driver writes there is an answer, and for places in the ring it is the right one.
#[test]
fn packed_crossed_every_event_field_is_total() {
    for size in [1, 2, 3, 7, 256, 32767, 32768] {
        let size = packed::QueueSize::new(size).unwrap();
        for bits in 0..=u16::MAX {
            for count in [0, 1, 255, 32768] {
                let crossed = packed_crossed(size, OffWrap::from_bits(bits), OffWrap::new(0, true), count);
                assert!(count != 0 || !crossed, "nothing new crosses nothing");
            }
        }
    }
}
