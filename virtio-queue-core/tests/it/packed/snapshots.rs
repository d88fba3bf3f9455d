//! Memory that changes while the device looks at it (HOST-20): each field is read once, and decided on by what was
//! read.

use virtio_fake_driver::MemEvent;
use virtio_mem_traits::DriverAddr;
use virtio_queue_core::{ChainError, ChainErrorKind};

use crate::support::packed::start;
use crate::support::{INDIRECT, SPACE, Way, logged, range, readable, table, walk, walk_once, writable, write_table};

/// HOST-20, DRV-CLEAN-1: whatever a table turns into between two walks, each walk reads each entry once, and checks
/// what it has read.
#[test]
fn table_changed_between_walks_checked_by_each() {
    let (mut fixture, mut hand) = start(4, INDIRECT);
    write_table(&hand.raw, SPACE, &[readable(1, 1), writable(2, 2)]);
    hand.offer(0, &[table(SPACE, 32)]);
    let chain = fixture.queue.next_chain().unwrap().unwrap();
    let (found, log) = logged(&fixture.mem, || walk_once(&chain, Way::Fold));
    assert_eq!(found, (vec![(1, 1, false), (2, 2, true)], None));
    let slot = MemEvent::Read(hand.raw.areas().descriptor(0));
    assert_eq!(log, [slot, MemEvent::Read(range(SPACE, 16)), MemEvent::Read(range(SPACE + 16, 16))]);
    write_table(&hand.raw, SPACE, &[writable(1, 1), readable(2, 2)]);
    let kind = ChainErrorKind::ReadableAfterWritable { addr: DriverAddr(2) };
    assert_eq!(walk(&chain), (vec![(1, 1, true)], Some(ChainError { id: 0, kind })));
    drop(chain);
    hand.check_used(0, 0, 0);
}
