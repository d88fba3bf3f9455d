//! Nothing is allocated between the construction of a queue and its drop: not to fetch, walk, read, write, split, lend
//! pieces, return, keep tokens, work in bursts or notify, and not where anything of that fails.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::std_instead_of_alloc, reason = "tests have the standard library")]

use std::sync::Arc;

use allocation_counter::measure;
use virtio_chain::{IoVec, ReadableChain, Reader, WritableChain, Writer};
use virtio_fake_driver::{
    DriverChain, SplitFixture, SplitFixtureOptions, Traffic, TrafficLimits, UsedBuffer, features,
};
use virtio_mem_traits::{DriverAddr, HeapMem};
use virtio_queue_core::{Armed, Chain, DriverNotify, Queue, Ring, Token};

const SIZE: u16 = 64;

fn fixture(features: u64) -> SplitFixture<Arc<HeapMem>> {
    SplitFixtureOptions { size: SIZE, features, ..Default::default() }.build_plain().unwrap()
}

/// Calls `device`, which may not allocate.
#[track_caller]
fn check<T>(device: impl FnOnce() -> T) -> T {
    let mut result = None;
    let measured = measure(|| result = Some(device()));
    assert_eq!(measured.count_total, 0, "allocations");
    result.unwrap()
}

#[test]
fn allocation_is_counted() {
    assert_eq!(measure(|| drop(core::hint::black_box(Box::new(1)))).count_total, 1);
}

/// Runs random chains through a queue until `device`, which has its turn when the queue is full, has had `count` of
/// them. It returns how many it used.
#[track_caller]
fn check_traffic(
    features: u64,
    count: usize,
    mut device: impl FnMut(&mut SplitFixture<Arc<HeapMem>>) -> usize,
) -> Vec<UsedBuffer> {
    let mut fixture = fixture(features);
    let limits = TrafficLimits { elements: 12, bytes: 600, indirect: features & features::INDIRECT_DESC != 0 };
    let (mut traffic, mut all) = (Traffic::new(features, limits), Vec::new());
    while all.len() < count {
        while fixture.driver.add(&traffic.next_chain()).is_ok() {}
        let done = check(|| device(&mut fixture));
        let used = fixture.driver.reap_all().unwrap();
        assert!(done != 0 && used.len() == done, "the device does its part");
        all.extend(used);
    }
    all
}

/// Moves all bytes, to nowhere.
#[expect(clippy::unnecessary_wraps, reason = "work can fail")]
fn all(pieces: &[IoVec]) -> Result<usize, ()> {
    Ok(pieces.iter().map(IoVec::len).sum())
}

/// Reads everything of a chain, in all ways that there are.
fn read_all_of(chain: &impl Chain) {
    let (mut reader, mut buf) = (Reader::new(chain), [0; 64]);
    let room = reader.remaining().unwrap();
    if let Ok(mut tail) = reader.split_at(room.bytes / 2) {
        while tail.read(&mut buf).unwrap() != 0 {}
        assert!(tail.read_exact(&mut buf).is_err());
    }
    reader.transfer(20, all).unwrap();
    let lent = reader.lend(50).unwrap();
    let half = lent.len() / 2;
    reader.settle(lent, half).unwrap();
    let _ = reader.read_obj::<u64>();
    while reader.next_with_limit(7).unwrap().is_some() {}
    reader.skip(u64::MAX).unwrap();
}

/// Writes everything of a chain, in all ways that there are.
fn write_all_of(chain: &impl Chain) {
    let mut writer = Writer::new(chain);
    let room = writer.remaining().unwrap();
    let mut status = writer.split_at(room.bytes / 2).unwrap();
    writer.transfer(20, all).unwrap();
    let lent = writer.lend(50).unwrap();
    let half = lent.len() / 2;
    writer.settle(lent, half).unwrap();
    writer.next_with_limit(7, |piece| piece.fill(0, piece.len(), 1).map(|()| piece.len())).unwrap();
    let _ = writer.write_obj(&1_u64);
    writer.fill(room.bytes, 0x11).unwrap();
    status.skip(1).unwrap();
    let _ = status.write_all(&[0x22; 64]);
    assert!(status.join(writer.clone()).is_err());
    writer.join(status).unwrap();
}

/// Reads and writes everything of a chain, and returns it.
fn use_all_of(chain: impl Chain) {
    read_all_of(&chain);
    write_all_of(&chain);
    let mut chain = ReadableChain::new(chain);
    chain.skip(u64::MAX).unwrap();
    let mut chain = chain.into_writable().unwrap();
    let room = chain.remaining().unwrap();
    chain.fill(room.bytes / 2, 0x33).unwrap();
    if let Err(refused) = chain.try_return_complete() {
        if let Err(refused) = refused.chain.try_return_written(u32::MAX) {
            drop(refused);
        }
    }
}

#[test]
fn chains_one_by_one_allocate_nothing() {
    for features in [0, features::INDIRECT_DESC, features::EVENT_IDX | features::INDIRECT_DESC] {
        check_traffic(features, 2000, |fixture| {
            let mut done = 0;
            while let Some(chain) = fixture.queue.next_chain().unwrap() {
                match done % 4 {
                    0 => drop(chain),
                    1 => assert!(chain.return_written(u32::MAX).is_err()),
                    _ => use_all_of(chain),
                }
                done += 1;
            }
            fixture.queue.suppress_notifications();
            assert_eq!(fixture.queue.enable_notifications(), Ok(Armed::Waiting));
            done
        });
    }
}

#[test]
fn chains_in_bursts_allocate_nothing() {
    check_traffic(features::INDIRECT_DESC, 2000, |fixture| {
        let before = fixture.notifications.count();
        let done = burst(&mut fixture.queue);
        assert_eq!(fixture.notifications.count() - before, 2);
        done
    });
}

/// Serves everything that is there in one burst with one break.
fn burst<R: Ring, N: DriverNotify>(queue: &mut Queue<R, N>) -> usize {
    let mut burst = queue.burst();
    let mut done = 0;
    loop {
        let Some(chain) = burst.next_chain().unwrap() else { break };
        use_all_of(chain);
        done += 1;
        if done == 1 {
            burst.flush().unwrap();
        }
    }
    burst.finish().unwrap();
    done
}

#[test]
fn tokens_allocate_nothing() {
    check_traffic(0, 2000, |fixture| {
        let mut numbers = [None; SIZE as usize];
        let mut done = 0;
        while let Some(chain) = fixture.queue.next_chain().unwrap() {
            if let Some(slot) = numbers.get_mut(done) {
                *slot = Some(chain.into_token().into_u64());
            }
            done += 1;
        }
        for number in numbers.into_iter().flatten().rev() {
            let (token, again) = (Token::from_u64(number), Token::from_u64(number ^ 1 << 47));
            assert!(fixture.queue.complete(again, 0).is_err());
            fixture.queue.complete(token, 0).unwrap();
        }
        done
    });
}

/// INV-9: a chain of a loop, of memory that is not there, or of the wrong order: whatever is wrong, it costs nothing.
#[test]
fn malformed_chains_allocate_nothing() {
    let mut fixture = fixture(0);
    let absent = DriverAddr(u64::MAX - 7);
    let bad = [
        DriverChain::new().writable(4).readable(b"late"),
        DriverChain::new().readable(b"far"),
        DriverChain::new().readable(b"for ever"),
        DriverChain::new().readable(b"and").writable(4),
    ];
    for round in 0..1000 {
        let ids = [0, 1, 2, 3].map(|index: usize| {
            let id = fixture.driver.stage_unchecked(&bad[index]).unwrap();
            let raw = fixture.driver.raw();
            let mut descriptor = raw.descriptor(id);
            match index {
                1 => (descriptor.addr, descriptor.len) = (absent, 8),
                2 => (descriptor.flags, descriptor.next) = (1, id),
                3 => descriptor.next = SIZE,
                _ => {}
            }
            raw.set_descriptor(id, descriptor);
            id
        });
        fixture.driver.publish();
        check(|| {
            for id in ids {
                let chain = fixture.queue.next_chain().unwrap().unwrap();
                assert_eq!(chain.id(), id);
                let (mut reader, mut writer) = (Reader::new(&chain), Writer::new(&chain));
                let ahead = reader.remaining().is_err() | reader.clone().transfer(99, all).is_err();
                let split = reader.clone().split_at(9999).is_err() & writer.split_at(9999).is_err();
                let read = reader.clone().skip(99).is_err() | reader.read(&mut [0; 9999]).is_err();
                let write = writer.clone().transfer(9, all).is_err() | writer.fill(9, 0).is_err();
                let refused = WritableChain::new(chain).return_complete().is_err();
                // What is wrong is wrong in one half.
                assert!(split && (ahead || read || write || refused), "round {round}, chain {id}");
            }
        });
        assert_eq!(fixture.driver.reap_all().unwrap().len(), 4);
    }
}

/// A queue that breaks, and what was in flight then.
#[test]
fn broken_queue_allocates_nothing() {
    let mut fixture = fixture(0);
    fixture.driver.add(&DriverChain::new().writable(4)).unwrap();
    fixture.driver.raw().set_available_index(SIZE + 9);
    let queue = &mut fixture.queue;
    check(|| {
        assert!(queue.next_chain().is_err());
        assert!(queue.next_chain().unwrap().is_none());
        assert!(queue.complete(Token::from_u64(0), 0).is_err());
        assert_eq!(queue.enable_notifications(), Ok(Armed::Waiting));
    });
}
