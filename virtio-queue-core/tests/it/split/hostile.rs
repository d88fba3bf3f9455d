//! Random bytes where the driver's structures should be: bounded work, typed errors, and nothing outside.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use virtio_fake_driver::MemEvent;
use virtio_fake_driver::split::{Descriptor, RawSplit};
use virtio_mem_traits::DriverAddr;
use virtio_queue_core::Token;

use crate::support::split::{Fixture, fixture, offer};
use crate::support::{EVENT_IDX, INDIRECT, SPACE, WAYS, walk_once};

/// Addresses that make something happen: tables in tables, the rings themselves, the ends of everything.
fn address(rng: &mut Xoshiro256PlusPlus, raw: &RawSplit) -> u64 {
    let areas = raw.areas();
    let near =
        [0, SPACE, areas.descriptor_area.0, areas.driver_area.0, areas.device_area.0, 0x1010_0000, u64::MAX - 64];
    match rng.random_range(0..8) {
        7 => rng.random(),
        n => near[n].wrapping_add(rng.random_range(0..4) * 8),
    }
}

fn length(rng: &mut Xoshiro256PlusPlus) -> u32 {
    match rng.random_range(0..6) {
        0 => 0,
        1..=3 => 16 * rng.random_range(0..12),
        4 => rng.random_range(0..100),
        _ => rng.random(),
    }
}

/// A descriptor that might almost be one.
fn descriptor(rng: &mut Xoshiro256PlusPlus, raw: &RawSplit) -> Descriptor {
    let addr = DriverAddr(address(rng, raw));
    let next = rng.random_range(0..=raw.areas().size);
    Descriptor { addr, len: length(rng), flags: rng.random_range(0..8), next }
}

/// Spoils some of what the driver may write.
fn spoil(rng: &mut Xoshiro256PlusPlus, raw: &RawSplit, room: u16) {
    for _ in 0..rng.random_range(0..12) {
        let (index, entry) = (rng.random_range(0..raw.areas().size), rng.random_range(0..16));
        match rng.random_range(0..40) {
            0..=19 => raw.set_descriptor(index, descriptor(rng, raw)),
            20..=35 => raw.set_descriptor_at(DriverAddr(SPACE + 8 * entry), descriptor(rng, raw)),
            36 => {
                let area = [raw.areas().descriptors(), raw.areas().available_ring(), raw.areas().used_ring()]
                    [rng.random_range(0..3)];
                let mut bytes = [0; 4];
                rng.fill_bytes(&mut bytes);
                raw.view().poke(area.after(rng.random_range(0..area.len() - 4)).start(), &bytes);
            }
            37 => raw.set_used_event(rng.random()),
            _ => raw.set_available_flags(rng.random()),
        }
    }
    // Seldom too many: most rounds are to get somewhere.
    let count = rng.random_range(0..=room.min(3));
    let heads: Vec<u16> = (0..count).map(|_| rng.random_range(0..raw.areas().size)).collect();
    offer(raw, &heads);
    if rng.random_range(0..50) == 0 {
        raw.set_available_index(rng.random());
    }
    if rng.random_range(0..50) == 0 {
        raw.set_available_entry(rng.random_range(0..raw.areas().size), rng.random());
    }
}

/// The reads and writes since the last time. Every write has to be in the used ring, and no read, unless it is of a
/// descriptor: the driver may have put an indirect table there.
fn count_accesses(fixture: &Fixture) -> (usize, usize) {
    let ring = fixture.driver.areas().used_ring();
    let (mut reads, mut writes) = (0, 0);
    for event in fixture.mem.take_log() {
        match event {
            MemEvent::Read(range) => {
                assert!(range.len() == 16 || ring.offset_of(range.start()).is_none());
                reads += 1;
            }
            MemEvent::Written(range) => {
                assert!(ring.offset_of(range.start()).is_some());
                writes += 1;
            }
            MemEvent::Translate { .. } => {}
        }
    }
    (reads, writes)
}

#[derive(Default)]
struct Outcomes {
    /// From the queue as it is now.
    fetched: u16,
    good: usize,
    malformed: usize,
    broken: usize,
}

/// One round of a device: some fetches, with a walk for each, and some chains returned.
fn round(rng: &mut Xoshiro256PlusPlus, fixture: &mut Fixture, tokens: &mut Vec<Token>, outcomes: &mut Outcomes) {
    let limit = usize::from(fixture.queue.size());
    for _ in 0..rng.random_range(1..4) {
        fixture.mem.take_log();
        let fetched = fixture.queue.next_chain().map(|chain| chain.map(|chain| chain.into_token()));
        let Ok(Some(token)) = fetched else {
            let (reads, writes) = count_accesses(fixture);
            assert!(reads <= 3 && writes <= 1, "{reads} reads and {writes} writes for nothing");
            outcomes.broken += usize::from(fetched.is_err());
            break;
        };
        let chain = fixture.queue.chain(token).unwrap();
        outcomes.fetched += 1;
        let (elements, error) = walk_once(&chain, WAYS[rng.random_range(0..WAYS.len())]);
        assert!(elements.len() <= limit);
        assert!(elements.iter().map(|element| element.1).sum::<u64>() <= 1 << 32);
        assert!(elements.is_sorted_by_key(|element| element.2), "readable elements come first");
        assert!(error.is_none_or(|error| error.id == chain.id()));
        *(if error.is_some() { &mut outcomes.malformed } else { &mut outcomes.good }) += 1;
        match rng.random_range(0..3) {
            0 => drop(chain),
            1 => tokens.push(chain.into_token()),
            _ => {
                let written = elements.iter().filter(|element| element.2).map(|element| element.1).sum::<u64>();
                assert!(chain.return_written(written.try_into().unwrap_or(u32::MAX)).is_ok());
            }
        }
        // Two looks at the index, an entry, the walk with the reference to its table, the same walk to check what is
        // said to be written, and the driver's wish.
        let (reads, writes) = count_accesses(fixture);
        assert!(reads <= 3 + 2 * (limit + 2) + 1 && writes <= 3, "{reads} reads and {writes} writes");
    }
    match rng.random_range(0..6) {
        0 => fixture.queue.suppress_notifications(),
        1 => drop(fixture.queue.enable_notifications()),
        2 | 3 => {
            let mut burst = fixture.queue.burst();
            tokens.drain(..).for_each(|token| _ = burst.complete(token, rng.random()));
        }
        _ => {}
    }
    assert!(fixture.queue.in_flight() <= fixture.queue.size());
    assert_eq!(fixture.queue.is_broken(), fixture.queue.fault().is_some());
}

/// INV-1, INV-2, INV-3, INV-5, INV-6, INV-7, INV-12, HOST-15, HOST-23: whatever is in memory, each call does bounded
/// work, keeps to its part of memory and says what is wrong.
#[test]
fn random_bytes_do_no_harm() {
    for (seed, (size, features)) in (0..).zip([(1, 0), (4, INDIRECT), (8, INDIRECT | EVENT_IDX), (64, INDIRECT)]) {
        let mut rng: Xoshiro256PlusPlus = SeedableRng::seed_from_u64(seed);
        let mut outcomes = Outcomes::default();
        for _ in 0..150 {
            let mut fixture = fixture(size, features);
            let mut tokens = Vec::new();
            outcomes.fetched = 0;
            fixture.mem.start_log();
            for _ in 0..60 {
                let raw = fixture.driver.raw().clone();
                let pending = raw.available_index().wrapping_sub(outcomes.fetched);
                spoil(&mut rng, &raw, size.saturating_sub(pending.saturating_add(fixture.queue.in_flight())));
                round(&mut rng, &mut fixture, &mut tokens, &mut outcomes);
                if fixture.queue.is_broken() {
                    // The first report may have been made, or not yet; then there is silence.
                    let _ = fixture.queue.next_chain().is_err();
                    fixture.mem.take_log();
                    assert!(fixture.queue.next_chain().unwrap().is_none());
                    assert_eq!(fixture.mem.take_log(), []);
                    break;
                }
            }
        }
        let Outcomes { good, malformed, broken, .. } = outcomes;
        assert!(good > 100 && malformed > 300 && broken > 20, "{good} {malformed} {broken}");
    }
}

/// INV-1, INV-2: random bytes all over, in rings and tables, without any attempt to look right.
#[test]
fn noise_does_no_harm() {
    let mut rng: Xoshiro256PlusPlus = SeedableRng::seed_from_u64(99);
    for _ in 0..3000 {
        let mut fixture = fixture(4, INDIRECT | EVENT_IDX);
        let raw = fixture.driver.raw().clone();
        let mut bytes = [0; 128];
        for area in [raw.areas().descriptors(), raw.areas().available_ring(), raw.areas().used_ring()] {
            rng.fill_bytes(&mut bytes);
            raw.view().poke(area.start(), &bytes[..area.len() as usize]);
        }
        raw.view().poke(DriverAddr(SPACE), &bytes);
        // Without these two, nothing would ever get further than the index.
        raw.set_available_index(rng.random_range(0..=4));
        (0..4).for_each(|slot| raw.set_available_entry(slot, rng.random_range(0..5)));
        fixture.mem.start_log();
        while let Ok(Some(chain)) = fixture.queue.next_chain() {
            let (elements, _) = walk_once(&chain, WAYS[rng.random_range(0..WAYS.len())]);
            assert!(elements.len() <= 4);
        }
        let (reads, _) = count_accesses(&fixture);
        assert!(reads <= 4 * (2 + 6 + 1) + 3, "{reads}");
    }
}
