//! Buffers that are where they must not be, or that the device cannot access.

use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::features::{EVENT_IDX, INDIRECT_DESC, RING_PACKED};
use virtio_fake_driver::{Any, DriverChain, QueueFormat, features};
use virtio_mem_traits::{Access, DriverAddr, TranslateError};
use virtio_queue_core::{AnyQueue, QueueLimits};

use crate::support::{SPACE, for_each_format, range, serve, start, walk, with};

fn check_overlaps<F: QueueFormat>(features: u64) {
    for round in 0..25 {
        let mut fixture = start::<F>(4, features);
        let areas = fixture.driver.area_addresses();
        let targets = [areas[0].0, areas[1].0, areas[2].0, areas[0].0 + 16, SPACE];
        let (from, to) = (targets[round % 5], targets[round / 5]);
        let chain = DriverChain::new().readable([0xa5; 4]).at(DriverAddr(from)).writable(4).at(DriverAddr(to));
        let _ = fixture.driver.add(&chain);
        for _ in 0..6 {
            let Ok(Some(chain)) = fixture.queue.next_chain() else { break };
            let (elements, _) = walk(&chain);
            assert!(elements.len() <= 4);
            let _ = chain.return_written(0);
        }
        assert!(fixture.queue.in_flight() <= 4);
    }
}

/// HOST-15, HOST-16, AMB-17, INV-1: buffers that lie over the rings, over each other and over the chain that describes
/// them. The driver gets what it deserves, and nothing worse happens.
#[test]
fn buffers_over_rings_do_no_harm() {
    for features in [0, INDIRECT_DESC | EVENT_IDX] {
        for_each_format!(check_overlaps(features));
    }
}

/// AMB-17, HOST-15: all three areas at one place. There is a queue, and what it does is bounded.
#[test]
fn areas_over_each_other_do_no_harm() {
    for format in [0, RING_PACKED] {
        for features in [format, format | EVENT_IDX] {
            let fixture = start::<Any>(8, features);
            let config = fixture.driver.queue_config(QueueLimits::default());
            let same = config.descriptor_area;
            let config = with(config, |config| {
                config.driver_area = same;
                config.device_area = same;
            });
            let mut queue =
                AnyQueue::new(&config, Rc::clone(&fixture.mem), Arc::clone(&fixture.notifications)).unwrap();
            for byte in 0..=u8::MAX {
                fixture.driver.view().poke(same, &[byte; 128]);
                let Ok(Some(chain)) = queue.next_chain() else { continue };
                assert!(walk(&chain).0.len() <= 8);
            }
        }
    }
}

fn check_minimal_rights<F: QueueFormat>(features: u64) {
    let mut fixture = start::<F>(8, features);
    let (input, output) = (range(SPACE, 0x40), range(SPACE + 0x40, 0x40));
    fixture.mem.restrict(input, Access::Read);
    fixture.mem.restrict(output, Access::Write);
    for len in 1..40 {
        let chain = DriverChain::new().readable([7; 9]).at(input.start()).writable(len).at(output.start());
        fixture.driver.add(&chain).unwrap();
        let fetched = fixture.queue.next_chain().unwrap().unwrap();
        let written = serve(&fetched);
        fetched.return_written(written).unwrap();
        assert_eq!(fixture.driver.reap().unwrap().unwrap().written(), vec![7; len as usize]);
    }
}

/// AMB-23, PACK-DESC-1, PACK-DESC-2, SPLIT-DESC-1, SPLIT-DESC-2, FEAT-9, FEAT-11: where readable buffers can only be
/// read and writable ones only be written, everything works.
#[test]
fn buffers_mapped_in_one_direction_work() {
    for features in [0, features::EVENT_IDX | 1 << 33] {
        for_each_format!(check_minimal_rights(features));
    }
}

fn check_denied<F: QueueFormat>(features: u64) {
    let mut fixture = start::<F>(8, features);
    fixture.mem.unmap(range(SPACE, 0x40));
    let chain = DriverChain::new().readable(b"gone").at(DriverAddr(SPACE));
    fixture.driver.add(&chain).unwrap();
    let fetched = fixture.queue.next_chain().unwrap().unwrap();
    let element = fetched.walk().next().unwrap().unwrap();
    let error = virtio_mem_traits::DriverMem::translate(fetched.mem(), element.range, element.access).err();
    assert_eq!(error, Some(TranslateError::Unmapped { addr: DriverAddr(SPACE) }));
    drop(fetched);
    assert_eq!((fixture.driver.reap_all().unwrap().len(), fixture.queue.fault()), (1, None));
}

/// DRV-FEAT-4, HOST-11, FEAT-11: a buffer that the device cannot access is the chain's error, and nobody else's.
#[test]
fn buffer_that_is_not_there_concerns_its_chain_alone() {
    for_each_format!(check_denied(0));
}
