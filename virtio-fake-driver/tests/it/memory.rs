//! `TestMem`: log, permissions, pieces, hooks.

use core::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::{MemEvent, TestMem};
use virtio_mem_traits::conformance::{Probe, check};
use virtio_mem_traits::{
    Access, Area, DriverAddr, DriverMem, DriverRange, HeapMem, ReadOnly, ReadWrite, TranslateError,
};

use crate::support::{heap, range};

fn mem() -> Rc<TestMem> {
    Rc::new(TestMem::new(heap()))
}

/// What the device gets of `range`: the lengths of the pieces up to its end, or up to an error.
fn pieces(mem: &TestMem, mut range: DriverRange, access: Access) -> (Vec<usize>, Option<TranslateError>) {
    let mut lens = Vec::new();
    while !range.is_empty() {
        match mem.translate(range, access) {
            Ok(piece) => {
                lens.push(piece.len());
                range = range.after(piece.len() as u64);
            }
            Err(error) => return (lens, Some(error)),
        }
    }
    (lens, None)
}

#[test]
fn plain_memory_conforms() {
    let probe = Probe { mapped: range(0x1000, 0x4000), access: Access::ReadWrite, absent: DriverAddr(0xfff) };
    check(&mem(), &probe);
}

#[test]
fn memory_with_everything_conforms() {
    let mem = mem();
    mem.unmap(range(0x1000, 0x100));
    mem.restrict(range(0x1100, 0x10), Access::Read);
    mem.restrict(range(0x1800, 0x100), Access::Write);
    for addr in [0x1111, 0x1120, 0x1121, 0x1200] {
        mem.split_at(DriverAddr(addr));
    }
    mem.start_log();
    mem.on_event(|_, _| {});
    check(&mem, &Probe { mapped: range(0x1110, 0x6f0), access: Access::ReadWrite, absent: DriverAddr(0x10ff) });
    check(&mem, &Probe { mapped: range(0x1800, 0x100), access: Access::Write, absent: DriverAddr(0x1000) });
}

/// FD-15
#[test]
fn hole_ends_a_translation_and_begins_none() {
    let mem = mem();
    mem.unmap(range(0x1010, 8));
    for access in [Access::Read, Access::Write, Access::ReadWrite] {
        let unmapped = |addr| Some(TranslateError::Unmapped { addr: DriverAddr(addr) });
        assert_eq!(pieces(&mem, range(0x1000, 0x20), access), (vec![0x10], unmapped(0x1010)));
        assert_eq!(pieces(&mem, range(0x1017, 1), access), (vec![], unmapped(0x1017)));
        assert_eq!(pieces(&mem, range(0x1018, 8), access), (vec![8], None));
    }
}

/// FD-15
#[test]
fn restriction_concerns_the_access_that_it_excludes() {
    let mem = mem();
    mem.restrict(range(0x1010, 0x10), Access::Read);
    mem.restrict(range(0x1018, 0x10), Access::Write);
    let denied = |addr, access| Some(TranslateError::Denied { addr: DriverAddr(addr), access });
    let all = range(0x1000, 0x40);
    assert_eq!(pieces(&mem, all, Access::Read), (vec![0x18], denied(0x1018, Access::Read)));
    assert_eq!(pieces(&mem, all, Access::Write), (vec![0x10], denied(0x1010, Access::Write)));
    assert_eq!(pieces(&mem, all.after(0x18), Access::Write), (vec![0x28], None));
    assert_eq!(pieces(&mem, all.after(0x28), Access::ReadWrite), (vec![0x18], None));
    assert_eq!(pieces(&mem, all, Access::ReadWrite), (vec![0x10], denied(0x1010, Access::ReadWrite)));
}

#[test]
fn later_rule_outweighs_an_earlier_one() {
    let mem = mem();
    mem.unmap(range(0x1000, 0x100));
    mem.restrict(range(0x1000, 0x80), Access::ReadWrite);
    assert_eq!(mem.translate(range(0x1000, 0x100), Access::ReadWrite).unwrap().len(), 0x80);
}

/// LAY-4
#[test]
fn split_memory_is_the_same_memory_in_pieces() {
    let mem = mem();
    for addr in [0x1001, 0x1003, 0x1000, 0x1010] {
        mem.split_at(DriverAddr(addr));
    }
    assert_eq!(pieces(&mem, range(0x1000, 0x20), Access::Read), (vec![1, 2, 13, 16], None));
    mem.view().poke(DriverAddr(0x1002), b"xy");
    assert_eq!(mem.translate(range(0x1003, 1), Access::Read).unwrap().read::<u8>(0), Ok(b'y'));
}

/// FD-15
#[test]
fn log_has_every_access_of_the_device_with_its_range_and_none_of_the_driver() {
    let mem = mem();
    let area = Area::<_, ReadWrite, 4>::new(mem.clone(), range(0x1010, 0x10)).unwrap();
    mem.start_log();
    area.load_acquire::<u16>(2).unwrap();
    area.store_relaxed(8, [1_u32; 2]).unwrap();
    mem.view().poke(DriverAddr(0x1010), b"driver");
    let _ = mem.view().peek(DriverAddr(0x1010), 6);
    assert!(mem.translate(range(0, 1), Access::Write).is_err());
    let expected = [
        MemEvent::Read(range(0x1012, 2)),
        MemEvent::Written(range(0x1018, 8)),
        MemEvent::Translate { range: range(0, 1), access: Access::Write },
    ];
    assert_eq!(mem.take_log(), expected);
    assert_eq!(mem.take_log(), []);
    area.load_relaxed::<u32>(12).unwrap();
    assert_eq!(mem.take_log(), [MemEvent::Read(range(0x101c, 4))]);
}

/// HOST-20, FD-15
#[test]
fn memory_changes_between_two_reads() {
    let mem = mem();
    let area = Area::<_, ReadOnly, 4>::new(mem.clone(), range(0x1010, 0x10)).unwrap();
    mem.on_read(2, |mem| mem.view().poke(DriverAddr(0x1010), &[7]));
    let read = [(); 4].map(|()| area.load_relaxed(0).unwrap());
    assert_eq!(read.map(u16::from_le), [0, 0, 7, 7]);
}

#[test]
fn hook_on_a_read_runs_once() {
    let mem = mem();
    let calls = Rc::new(Cell::new(0));
    let counter = calls.clone();
    mem.on_read(0, move |_| counter.set(counter.get() + 1));
    for _ in 0..5 {
        mem.written(range(0x1000, 1));
        mem.before_read(range(0x1000, 1));
    }
    assert_eq!(calls.get(), 1);
}

#[test]
fn hook_sees_every_event_but_its_own() {
    let mem = mem();
    let events = Rc::new(Cell::new(0));
    let counter = events.clone();
    mem.on_event(move |mem, _| {
        counter.set(counter.get() + 1);
        mem.translate(range(0x1000, 1), Access::Read).unwrap();
    });
    mem.before_read(range(0x1000, 1));
    mem.translate(range(0x1000, 1), Access::Read).unwrap();
    mem.written(range(0x1000, 1));
    assert_eq!(events.get(), 3);
}

#[test]
fn hook_may_replace_itself_and_take_memory_away() {
    let mem = mem();
    mem.on_read(0, |mem| {
        mem.unmap(range(0x1000, 0x10));
        mem.on_event(|mem, _| mem.restrict(range(0x1000, 0x10), Access::Read));
    });
    assert!(mem.translate(range(0x1000, 1), Access::Read).is_ok());
    mem.before_read(range(0x1000, 1));
    assert!(mem.translate(range(0x1000, 1), Access::Write).is_err());
    assert!(mem.translate(range(0x1000, 1), Access::Read).is_ok(), "the second hook has run");
}

#[test]
fn memory_at_the_top_of_the_address_space_can_be_restricted() {
    let top = DriverAddr(u64::MAX - 0xfff);
    let mem = TestMem::new(Arc::new(HeapMem::new(top, 0x1000).unwrap()));
    let all = DriverRange::new(top, 0x1000).unwrap();
    mem.restrict(all.after(0x800), Access::Read);
    assert_eq!(mem.translate(all, Access::Read).unwrap().len(), 0x1000);
    assert_eq!(mem.translate(all, Access::Write).unwrap().len(), 0x800);
}
