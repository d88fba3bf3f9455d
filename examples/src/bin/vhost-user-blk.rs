//! Serves a disk to vhost-user front ends.

#![expect(clippy::std_instead_of_alloc, reason = "a program has the standard library")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, value_parser};
use virtio_examples::blk::{BlockDevice, DeviceId, FileStorage, NullStorage, Storage, feature};
use virtio_vhost_user::{Options, VhostUserDevice, Worker};
use zerocopy::IntoBytes;

/// Serves a disk to vhost-user front ends, one after the other
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    options: Options,
    /// The file that holds the sectors
    #[arg(long, value_name = "FILE", required_unless_present = "null", alias = "image")]
    blk_file: Option<PathBuf>,
    /// Make the disk read-only
    #[arg(long, conflicts_with = "null")]
    read_only: bool,
    /// A disk of so many bytes without a medium, rather than a file: nothing is stored, and nothing is put into buffers
    #[arg(long, value_name = "BYTES", conflicts_with = "blk_file", value_parser = value_parser!(u64).range(1..))]
    null: Option<u64>,
    /// The number of queues, each with a thread of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..=256))]
    queues: u16,
}

fn main() -> ExitCode {
    virtio_vhost_user::run(|Args { options, blk_file, read_only, null, queues }| {
        let storage: SharedStorage = match (blk_file, null) {
            (Some(path), _) if read_only => Arc::new(FileStorage::open_read_only(path)?),
            (Some(path), _) => Arc::new(FileStorage::open(path)?),
            (None, size) => Arc::new(NullStorage::new(size.unwrap_or_default())),
        };
        let id = DeviceId::new("vhost-user-blk").ok_or("the name is too long")?;
        let disk = Disk { device: BlockDevice::new(storage, id), id, queues, queue_size: options.queue_size };
        Ok((options, disk))
    })
}

/// The default size of QEMU's queues. A front end sets its queue size only after it has read the configuration space.
/// Without indirect descriptors, no request can be longer than the queue. If the configuration space allows longer
/// requests, Linux waits forever to send one.
const USUAL_QUEUE_SIZE: u16 = 128;

type SharedStorage = Arc<dyn Storage + Send + Sync>;

/// A disk with one block device for each queue.
struct Disk {
    /// What all of them say of themselves.
    device: BlockDevice<SharedStorage>,
    id: DeviceId,
    queues: u16,
    queue_size: u16,
}

impl VhostUserDevice for Disk {
    const TYPE: &'static str = "block";
    const CAPABILITIES: &'static [&'static str] = &["read-only", "blk-file"];

    fn worker(&self, _queue: usize, features: u64) -> Worker {
        let mut device = BlockDevice::new(Arc::clone(self.device.storage()), self.id);
        device.accept(features);
        Worker::serve(device)
    }

    fn features(&self) -> u64 {
        self.device.features() | if self.queues > 1 { feature::MQ } else { 0 }
    }

    fn config(&self) -> Vec<u8> {
        let mut config = self.device.config(self.queue_size.min(USUAL_QUEUE_SIZE));
        config.num_queues = self.queues.into();
        config.as_bytes().to_vec()
    }

    fn num_queues(&self) -> usize {
        self.queues.into()
    }
}
