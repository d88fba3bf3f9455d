//! What the device says of itself.

use std::io;
use std::sync::Arc;

use virtio_examples::blk::{BlockDevice, DeviceId, MemStorage, Storage, feature};
use zerocopy::IntoBytes;

use crate::disk::{Disk, OUT, request};
use crate::storages::{Call, Recorder};

fn id() -> DeviceId {
    DeviceId::new("").unwrap()
}

#[test]
fn features_of_a_writable_device() {
    let device = BlockDevice::new(MemStorage::new(vec![0]), id());
    assert_eq!(device.features(), 1 << 2 | 1 << 6 | 1 << 9 | 1 << 11 | 1 << 13 | 1 << 14);
}

#[test]
fn features_of_a_read_only_device() {
    let device = BlockDevice::new(Recorder { read_only: true, ..Recorder::new(1) }, id());
    assert_eq!(device.features(), 1 << 2 | 1 << 5 | 1 << 6 | 1 << 9);
    assert_eq!(device.features() & feature::RO, 1 << 5);
}

#[test]
fn config_is_laid_out_as_specified() {
    let device = BlockDevice::new(Recorder::new(0x0102_0304_0506 * 512), id());
    let config = device.config(256);
    let expected: [&[u8]; 11] = [
        &[6, 5, 4, 3, 2, 1, 0, 0],   // capacity
        &[0; 4],                     // size_max
        &[254, 0, 0, 0],             // seg_max
        &[0; 4],                     // geometry
        &[0, 2, 0, 0],               // blk_size
        &[0; 8],                     // topology
        &[1, 0, 0, 0],               // writeback, unused0, num_queues
        &[0, 32, 0, 0, 16, 0, 0, 0], // max_discard_sectors, max_discard_seg
        &[1, 0, 0, 0],               // discard_sector_alignment
        &[0, 32, 0, 0, 16, 0, 0, 0], // max_write_zeroes_sectors, max_write_zeroes_seg
        &[0; 4],                     // write_zeroes_may_unmap, unused1
    ];
    assert_eq!(config.as_bytes(), expected.concat());
}

/// A storage of 1 MiB with blocks of these sizes, in which nothing is kept.
struct Blocks {
    logical: u32,
    physical: Option<u32>,
    can_release: bool,
}

impl Storage for Blocks {
    fn size(&self) -> u64 {
        1 << 20
    }

    fn block_size(&self) -> u32 {
        self.logical
    }

    fn physical_block_size(&self) -> Option<u32> {
        self.physical
    }

    fn can_release(&self) -> bool {
        self.can_release
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn config_says_how_large_the_blocks_of_the_storage_are() {
    let storage = Blocks { logical: 4096, physical: None, can_release: false };
    let config = BlockDevice::new(&storage, id()).config(256);
    assert_eq!((config.blk_size.get(), config.discard_sector_alignment.get()), (4096, 8));
    assert_eq!(config.capacity.get(), 2048);
}

#[test]
fn config_says_how_the_medium_works() {
    let storage = Blocks { logical: 512, physical: Some(4096), can_release: true };
    let device = BlockDevice::new(&storage, id());
    assert_eq!(device.features() & feature::TOPOLOGY, 1 << 10);
    let config = device.config(256);
    assert_eq!(config.topology.as_bytes(), [3, 0, 8, 0, 0, 0, 0, 0]);
    assert_eq!((config.blk_size.get(), config.write_zeroes_may_unmap), (512, 1));
}

#[test]
fn driver_writes_the_mode_of_the_cache_and_nothing_else() {
    let device = BlockDevice::new(Arc::new(MemStorage::new(vec![0])), id());
    let other = device.clone();
    // All of the space, as some front ends do, and one byte too few or too many.
    let mut space = [0xff; 60];
    space[32] = 0;
    for (offset, bytes, expected) in [
        (32, &[0][..], Some(0)),
        (32, &[1], Some(1)),
        (0, &space, Some(0)),
        (32, &[7], Some(1)),
        (33, &[0; 27], None),
        (0, &[0; 32], None),
    ] {
        assert_eq!(device.write_config(offset, bytes), expected.is_some());
        let mode = other.config(256).writeback;
        assert!(expected.is_none_or(|expected| mode == expected), "{offset} {bytes:?}");
    }
}

/// Counts flushes: without a write-back cache, there is one for each write.
#[test]
fn writes_are_stable_if_the_driver_chooses_that() {
    const WRITEBACK: usize = 32;
    for (accepted, mode, flushes) in [
        (0, 1, 1),
        (feature::FLUSH, 0, 0),
        (feature::FLUSH | feature::CONFIG_WCE, 1, 0),
        (feature::FLUSH | feature::CONFIG_WCE, 0, 1),
        (feature::CONFIG_WCE, 1, 1),
    ] {
        let mut disk = Disk::new(Recorder::new(4 * 512));
        disk.device.accept(accepted);
        assert!(disk.device.write_config(WRITEBACK, &[mode]));
        disk.send(&request(OUT, 0, [0; 512], 0));
        let calls = disk.device.storage().take_calls();
        assert_eq!(calls.iter().filter(|call| **call == Call::Flush).count(), flushes, "{accepted:#x} {mode}");
    }
}

#[test]
fn config_counts_the_last_sector_and_at_least_one_segment() {
    for (size, capacity) in [(1, 1), (512, 1), (513, 2), (u64::MAX, 1 << 55)] {
        let device = BlockDevice::new(Recorder::new(size), id());
        assert_eq!(device.config(256).capacity.get(), capacity);
    }
    let device = BlockDevice::new(Recorder::new(1), id());
    for (queue_size, seg_max) in [(1, 1), (2, 1), (3, 1), (4, 2), (32768, 32766)] {
        assert_eq!(device.config(queue_size).seg_max.get(), seg_max);
    }
}

#[test]
fn ids_are_twenty_characters_at_most() {
    assert_eq!(DeviceId::new("01234567890123456789").unwrap().as_bytes(), b"01234567890123456789");
    for text in ["012345678901234567890", "disk\0", "dísk"] {
        assert_eq!(DeviceId::new(text), None, "{text}");
    }
}
