//! Areas that are not where or what they have to be.

use std::rc::Rc;

use virtio_fake_driver::{FixtureOptions, MemEvent, TestMem};
use virtio_mem_traits::{Access, AreaError, DriverAddr, TranslateError};
use virtio_queue_core::{QueueArea, QueueConfig};

use super::{Area, Areas, Setup, for_each_setup};
use crate::support::{EVENT_IDX, RING_SETS, for_each_format, smoke, with};

fn with_area(config: QueueConfig, area: QueueArea, addr: DriverAddr) -> QueueConfig {
    match area {
        QueueArea::Descriptor => with(config, |config| config.descriptor_area = addr),
        QueueArea::Driver => with(config, |config| config.driver_area = addr),
        QueueArea::Device => with(config, |config| config.device_area = addr),
    }
}

fn check_misaligned<F: Areas>(size: u16, features: u64) {
    let setup = Setup::<F>::new(size, features);
    for Area { area, range, align, .. } in setup.areas() {
        for by in 1..align {
            let addr = DriverAddr(range.start().0 + by);
            let error = AreaError::Misaligned { addr, align: align as usize };
            setup.check_area_refused(&with_area(setup.config, area, addr), area, error);
        }
    }
}

/// LAY-1, LAY-7, DRV-CFG-1, DRV-CFG-2: aligned to 16, 2 and 4 bytes in a split ring, to 16, 4 and 4 in a packed one.
/// The driver of these tests aligns its areas no better.
#[test]
fn area_misaligned_refused() {
    for_each_setup!(check_misaligned(0));
}

fn check_misaligned_by_mapping<F: Areas>(size: u16, features: u64) {
    for base in [0x1000_0004, 0x1000_0008] {
        let setup = Setup::<F>::at(DriverAddr(base), size, features);
        let error = AreaError::HostMisaligned { addr: setup.config.descriptor_area, align: 16 };
        setup.check_area_refused(&setup.config, QueueArea::Descriptor, error);
    }
}

/// LAY-1, LAY-7: aligned for the driver is not enough where the mapping is not.
#[test]
fn area_misaligned_by_its_mapping_refused() {
    for_each_setup!(check_misaligned_by_mapping(0));
}

fn check_beyond_memory<F: Areas>(size: u16, features: u64) {
    let setup = Setup::<F>::new(size, features);
    for Area { area, align, .. } in setup.areas() {
        for addr in [0, 0x0fff_fff0, 0x1010_0000, 1 << 63, 0_u64.wrapping_sub(align)].map(DriverAddr) {
            setup.check_area_refused(&with_area(setup.config, area, addr), area, TranslateError::Unmapped { addr });
        }
    }
}

/// HOST-13, LAY-7, DRV-CFG-5, DRV-FEAT-4: areas that would end beyond 2^64, or that begin where nothing is.
#[test]
fn area_beyond_memory_refused() {
    for_each_setup!(check_beyond_memory(0));
}

fn check_holes<F: Areas>(size: u16, features: u64) {
    for index in 0..3 {
        let len = Setup::<F>::new(size, features).areas()[index].range.len();
        for offset in 0..len {
            let setup = Setup::<F>::new(size, features);
            let Area { area, range, .. } = setup.areas()[index];
            let hole = range.after(offset).prefix(1);
            setup.mem.unmap(hole);
            setup.check_area_refused(&setup.config, area, TranslateError::Unmapped { addr: hole.start() });
        }
    }
}

/// LAY-2, LAY-7, HOST-13: every byte of every area has to be there, those of the event fields as well if they are never
/// used.
#[test]
fn area_with_hole_refused() {
    for features in [0, EVENT_IDX] {
        for_each_setup!(check_holes(features));
    }
}

fn check_denied<F: Areas>(size: u16, features: u64) {
    for (index, offset) in [(0, 0), (0, 4), (0, 20), (1, 0), (1, 2), (2, 0), (2, 2)] {
        for allowed in [Access::Read, Access::Write] {
            let setup = Setup::<F>::new(size, features);
            let Area { area, range, access, .. } = setup.areas()[index];
            let part = range.after(offset).prefix(2);
            setup.mem.restrict(part, allowed);
            if allowed == access {
                setup.check_made(&setup.config);
            } else {
                let error = TranslateError::Denied { addr: part.start(), access };
                setup.check_area_refused(&setup.config, area, error);
            }
        }
    }
}

/// LAY-9, HOST-13, FEAT-11: memory that the device may not access as it has to, if only in part. A packed ring has to
/// be both readable and writable.
#[test]
fn area_denied_refused() {
    for_each_setup!(check_denied(0));
}

fn check_rights<F: Areas>(size: u16, features: u64) {
    let setup = Setup::<F>::new(size, features);
    let (queue, log) = setup.make(&setup.config);
    assert_eq!(queue, Ok(size));
    let translated: Vec<_> = log.into_iter().filter(|event| matches!(event, MemEvent::Translate { .. })).collect();
    let expected = setup.areas().map(|Area { range, access, .. }| MemEvent::Translate { range, access });
    assert_eq!(translated, expected);
}

/// FEAT-11, FEAT-12, LAY-9: each area is translated once, with the rights that it needs and no others.
#[test]
fn areas_translated_with_minimal_rights() {
    for_each_setup!(check_rights(EVENT_IDX));
}

fn check_one_direction<F: Areas>(features: u64) {
    let options = FixtureOptions::<F> { size: 8, features, memory_len: 1 << 16, ..Default::default() };
    let fixture = options.build_on(|heap, driver| {
        let mem = Rc::new(TestMem::new(heap));
        for Area { range, access, .. } in F::areas(driver) {
            mem.restrict(range, access);
            // In pieces, so that every access is checked and not only the first.
            if range.len() > 16 {
                mem.split_at(range.after(16).start());
            }
        }
        mem
    });
    smoke(&mut fixture.unwrap(), 50);
}

/// LAY-5, LAY-9, SPLIT-DESC-3, SPLIT-AVAIL-1: with each area mapped for what the device does there and nothing else,
/// everything works.
#[test]
fn areas_with_minimal_rights_work() {
    for features in RING_SETS {
        for_each_format!(check_one_direction(features));
    }
}
