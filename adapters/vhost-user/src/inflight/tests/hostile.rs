//! Records that make no sense.

use core::iter::repeat_n;

use virtio_fake_driver::DriverChain;
use virtio_queue_core::{Head, Recorder};
use virtio_ring::packed::{BufferId, Descriptor, DescriptorFlags};

use super::*;

/// What is written into a good record, and where.
type Change = (u64, &'static [u8]);

/// What is changed, and what comes of it.
type Case<'c> = (&'c [Change], Result<Vec<u16>, InflightError>);

/// Serves a ring of 4 with two chains in flight of three that are available, after a change of its record.
fn served<F: Recorded>(changes: &[Change]) -> Result<Vec<u16>, InflightError> {
    let mem = Memory::new();
    let mut driver = driver::<F>(&mem, 4, None);
    let config = config(&driver);
    let base = start::<F>(&config, None);
    let mut queue = resume::<F>(&mem, &config, &base).unwrap();
    for _ in 0..3 {
        driver.add(&DriverChain::new().writable(1)).unwrap();
    }
    for _ in 0..2 {
        let _ = queue.next_chain().unwrap().unwrap().into_token();
    }
    drop(queue);
    for (offset, bytes) in changes {
        mem.poke(*offset, bytes);
    }
    let mut queue = resume::<F>(&mem, &config, &base)?;
    let mut ids = Vec::new();
    // No more than there is room for, whatever was recorded.
    for _ in 0..5 {
        let Ok(Some(chain)) = queue.next_chain() else { break };
        ids.push(chain.into_token().id());
    }
    Ok(ids)
}

const NO: &[u8] = &[0];
const YES: &[u8] = &[1];

/// RECORD-2, HOST-30
#[test]
fn split_record_that_makes_no_sense_is_refused() {
    use InflightError as E;
    let entry = |index: u64| 16 + 16 * index;
    assert_eq!(served::<Split>(&[]), Ok(vec![0, 1, 2]));
    let cases: &[Case<'_>] = &[
        (&[(0, &[1])], Err(E::Features(1))),
        (&[(8, &[2])], Err(E::Version(2))),
        (&[(8, &[0xff, 0xff])], Err(E::Version(0xffff))),
        (&[(10, &[5])], Err(E::Entries { entries: 5, expected: 4 })),
        (&[(10, &[0])], Err(E::Entries { entries: 0, expected: 4 })),
        (&[(14, &[5])], Err(E::UsedIndex { recorded: 5, used: 0, size: 4 })),
        (&[(14, &[0xfb, 0xff])], Err(E::UsedIndex { recorded: 0xfffb, used: 0, size: 4 })),
        (&[(14, &[0xff, 0xff]), (12, &[4])], Err(E::Entry { entry: 4 })),
        (&[(14, &[0xfc, 0xff]), (12, &[0xff, 0xff])], Err(E::Entry { entry: 0xffff })),
        // As if the last batch had been one chain, of which the list goes in circles.
        (&[(14, &[0xfc, 0xff]), (12, &[0])], Ok(vec![1, 1, 2])),
        // The order is what the counters say.
        (&[(entry(0) + 8, &[9])], Ok(vec![1, 0, 2])),
        (&[(entry(0) + 8, &[0xff; 8])], Ok(vec![1, 0, 2])),
        // What is not in flight is fetched from where the ring would be then.
        (&[(entry(0), NO)], Ok(vec![1, 1, 2])),
        (&[(entry(0), NO), (entry(1), NO)], Ok(vec![0, 1, 2])),
        (&[(entry(0), &[0xff])], Ok(vec![0, 1, 2])),
        (&[(entry(2), YES)], Ok(vec![0, 2, 1])),
        // Nobody has begun it.
        (&[(8, &[0])], Ok(vec![0, 1, 2])),
    ];
    for (changes, expected) in cases {
        assert_eq!(served::<Split>(changes), *expected, "{changes:x?}");
    }
}

/// RECORD-2, HOST-30
#[test]
fn packed_record_that_makes_no_sense_is_refused() {
    use InflightError as E;
    let entry = |index: u64| 32 + 32 * index;
    let [a, b, c] = served::<Packed>(&[]).unwrap().try_into().unwrap();
    let cases: &[Case<'_>] = &[
        (&[(0, &[1])], Err(E::Features(1))),
        (&[(8, &[3])], Err(E::Version(3))),
        (&[(10, &[3])], Err(E::Entries { entries: 3, expected: 4 })),
        (&[(16, &[4])], Err(E::Position { slot: 4, size: 4 })),
        (&[(18, &[0xff, 0xff])], Err(E::Position { slot: 0xffff, size: 4 })),
        (&[(18, &[1, 0x80])], Err(E::Position { slot: 0x8001, size: 4 })),
        // A batch that was not published is undone.
        (&[(16, &[2])], Ok(vec![a, b, c])),
        (&[(20, &[0])], Ok(vec![a, b, c])),
        // Free lists that lead anywhere, or in circles.
        (&[(14, &[0xff, 0xff])], Ok(vec![a, b, c])),
        (&[(entry(2) + 2, &[2])], Ok(vec![a, b, c])),
        (&[(entry(2) + 2, &[0xff, 0xff])], Ok(vec![a, b, c])),
        // What is free is not in flight.
        (&[(14, &[0]), (entry(0) + 2, &[4])], Ok(vec![b, b, c])),
        (&[(entry(0), NO)], Ok(vec![b, b, c])),
        (&[(entry(0) + 8, &[9])], Ok(vec![b, a, c])),
        // Chains of no descriptors, of too many, of each other's, and of none of the record.
        (&[(entry(0) + 6, &[0])], Err(E::Entry { entry: 0 })),
        (&[(entry(0) + 6, &[5])], Err(E::TooMany { in_flight: 5, size: 4 })),
        (&[(entry(0) + 6, &[0xff, 0xff])], Err(E::TooMany { in_flight: 0xffff, size: 4 })),
        (&[(entry(0) + 6, &[2]), (entry(0) + 2, &[1])], Err(E::Entry { entry: 1 })),
        (&[(entry(0) + 6, &[2]), (entry(0) + 2, &[0])], Err(E::Entry { entry: 0 })),
        (&[(entry(0) + 6, &[2]), (entry(0) + 2, &[4])], Err(E::Entry { entry: 0 })),
        (&[(entry(0) + 6, &[2]), (entry(0) + 2, &[0xff, 0xff])], Err(E::Entry { entry: 0 })),
        (&[(8, &[0])], Ok(vec![a, b, c])),
    ];
    for (changes, expected) in cases {
        assert_eq!(served::<Packed>(changes), *expected, "{changes:x?}");
    }
}

/// RECORD-2: a record with room for fewer descriptors than the ring has.
#[test]
fn record_that_is_too_small_for_the_ring_is_refused() {
    let mem = Memory::new();
    let driver = driver::<Split>(&mem, 4, None);
    let config = config(&driver);
    let ring = RingOf::<Split>::from_config(&config, Rc::clone(&mem)).unwrap();
    let small = ring.resume(&config, record::<Split>(&mem, 3), start::<Split>(&config, None)).map(drop);
    assert_eq!(small, Err(InflightError::RingSize { size: 4, room: 3 }));
}

/// HOST-19: one Buffer ID for two chains, of which one is recorded for good. Nothing is stored outside of the record.
#[test]
fn buffer_id_of_two_chains_takes_no_entry_that_is_not_there() {
    for lens in [[3, 1], [1, 3], [2, 2]] {
        let mem = Memory::new();
        let driver = driver::<Packed>(&mem, 4, None);
        let (config, behind) = (config(&driver), RingOf::<Packed>::LAYOUT.len(4));
        mem.poke(behind, &[7; 32]);
        let ring = RingOf::<Packed>::from_config(&config, Rc::clone(&mem)).unwrap();
        let base = start::<Packed>(&config, None);
        let (mut recorder, _) = ring.resume(&config, record::<Packed>(&mem, 4), base).unwrap();
        let descriptor = Descriptor::new(DriverAddr(0), 1, BufferId(9), DescriptorFlags(0));
        for _ in 0..4 {
            for len in lens {
                recorder.fetched(Head::new(9, 0, len), repeat_n(descriptor, len.into()));
            }
            lens.iter().for_each(|len| recorder.completed(Head::new(9, 0, *len)));
            recorder.publishing(0x8000);
            recorder.published(0x8000);
        }
        assert_eq!(mem.peek(behind, 32), [7; 32], "{lens:?}");
    }
}

/// Each error says what was wrong, and what would be right.
#[test]
fn errors_say_what_is_wrong() {
    let errors = [
        (InflightError::Queue { index: 2, queues: 1 }, "it has no part for queue 2, only for 1 queues"),
        (InflightError::RingSize { size: 8, room: 4 }, "the ring has 8 descriptors, but the record has room for 4"),
        (InflightError::Version(7), "its version is 7, and must be 1"),
        (InflightError::Features(1), "it has features 0x1, and must have none"),
        (InflightError::Entries { entries: 4, expected: 8 }, "it has 4 entries, and must have 8"),
        (
            InflightError::UsedIndex { recorded: 1, used: 9, size: 4 },
            "used index 1 was recorded, which must be at most 4 less than the ring's, 9",
        ),
        (InflightError::Position { slot: 9, size: 8 }, "used position 9 must be a slot of a ring with 8"),
        (InflightError::Entry { entry: 3 }, "entry 3 is in flight, and is no chain of this ring"),
        (InflightError::TooMany { in_flight: 9, size: 8 }, "9 descriptors are in flight in a ring with 8"),
    ];
    for (error, text) in errors {
        assert_eq!(error.to_string(), format!("the record of what is in flight makes no sense: {text}"));
    }
}
