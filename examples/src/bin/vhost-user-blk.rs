//! Serves a disk to vhost-user front ends.

#![expect(clippy::std_instead_of_alloc, reason = "a program has the standard library")]

use core::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, ValueEnum, value_parser};
use virtio_examples::blk::uring::UringDisk;
use virtio_examples::blk::{BlockDevice, DeviceId, FileStorage, NullStorage, Storage, feature};
use virtio_queue_core::RingFeatures;
use virtio_vhost_user::{GuestMem, Options, VhostUserDevice, Worker, report};
use zerocopy::IntoBytes;

/// Serves a disk to vhost-user front ends, one after the other
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    options: Options,
    /// The file that holds the sectors of 512 bytes: a regular file or a block device. If the last sector is not all in
    /// the file, the rest of it is read as zeroes, and can be written with nothing else
    #[arg(long, value_name = "FILE", required_unless_present = "null", alias = "image")]
    blk_file: Option<PathBuf>,
    /// Make the disk read-only
    #[arg(long, conflicts_with = "null")]
    read_only: bool,
    /// Read and write past the page cache of the host (O_DIRECT), as far as requests are aligned. The program ends if
    /// the file system has no such way
    #[arg(long, conflicts_with = "null")]
    direct: bool,
    /// The serial number, which the driver can read: up to 20 ASCII characters
    #[arg(long, value_name = "TEXT", default_value = "vhost-user-blk")]
    serial: String,
    /// A disk of so many bytes without a medium, rather than a file: nothing is stored, and nothing is put into buffers
    #[arg(long, value_name = "BYTES", conflicts_with = "blk_file", value_parser = value_parser!(u64).range(1..))]
    null: Option<u64>,
    /// How the file is read and written. Without this option: by io_uring if it can be had, but by plain system calls
    /// with --poll or --in-order. If io_uring is wished and cannot be had, a line says so, and plain system calls are
    /// used
    #[arg(long, conflicts_with = "null")]
    io: Option<Io>,
    /// The number of queues, each with a thread of its own. QEMU must ask for at most so many (num-queues=)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..=256))]
    queues: u16,
}

/// How a file is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Io {
    /// By io_uring: many requests are in flight, and are answered in any order, unless --in-order is given and the
    /// driver accepts it
    Uring,
    /// By system calls that wait for the medium
    Plain,
}

fn main() -> ExitCode {
    virtio_vhost_user::run(|args: Args| {
        let storage: SharedStorage = match (&args.blk_file, args.null) {
            (Some(path), _) => Arc::new(open(path, &args)?),
            (None, size) => Arc::new(NullStorage::new(size.unwrap_or_default())),
        };
        let text = "a serial number has at most 20 ASCII characters, none of which is NUL";
        let id = DeviceId::new(&args.serial).ok_or_else(|| format!("--serial {}: {text}", args.serial))?;
        let device = BlockDevice::new(storage, id);
        let io = io(&args, &device);
        let Args { options, queues, .. } = args;
        Ok((options.clone(), Disk { device, io, polls: options.poll, queues, queue_size: options.queue_size }))
    })
}

/// Opens the file as it is to be read and written.
fn open(path: &Path, args: &Args) -> Result<FileStorage, Box<dyn Error + Send + Sync>> {
    let file = if args.read_only { FileStorage::open_read_only(path) } else { FileStorage::open(path) }?;
    if !args.direct {
        return Ok(file);
    }
    Ok(file.past_the_page_cache().map_err(|error| {
        format!("--direct: {}: the file system does not let the page cache be passed by: {error}", path.display())
    })?)
}

/// Chooses how the file of `device` is read and written. Says so if it is not as it was wished.
fn io(args: &Args, device: &BlockDevice<SharedStorage>) -> Io {
    let Args { options, null, io, .. } = args;
    let plain = options.in_order || options.poll || null.is_some();
    match io {
        None if plain => Io::Plain,
        Some(Io::Plain) => Io::Plain,
        Some(Io::Uring) | None => match UringDisk::<_, GuestMem>::new(BlockDevice::clone(device), 1) {
            Ok(_) => Io::Uring,
            Err(error) => {
                report(format_args!("plain reads and writes are used, because there is no io_uring: {error}"));
                Io::Plain
            }
        },
    }
}

/// The default size of QEMU's queues. A front end sets its queue size only after it has read the configuration space.
/// Without indirect descriptors, no request can be longer than the queue. If the configuration space allows longer
/// requests, Linux waits forever to send one.
const USUAL_QUEUE_SIZE: u16 = 128;

/// How many requests of a queue are in flight at most, if they are done by io_uring.
const DEPTH: usize = 128;

type SharedStorage = Arc<dyn Storage + Send + Sync>;

/// A disk with one block device for each queue.
struct Disk {
    /// What all of them say of themselves.
    device: BlockDevice<SharedStorage>,
    io: Io,
    /// Whether the threads of the queues poll.
    polls: bool,
    queues: u16,
    queue_size: u16,
}

impl VhostUserDevice for Disk {
    const TYPE: &'static str = "block";
    const CAPABILITIES: &'static [&'static str] = &["read-only", "blk-file"];

    fn worker(&self, _queue: usize, features: u64) -> Worker {
        let mut device = self.device.clone();
        device.accept(features);
        if self.io == Io::Plain {
            return Worker::serve(device);
        }
        // It was to be had before. If there are no resources now, there are still plain reads and writes.
        match UringDisk::new(device.clone(), DEPTH) {
            Ok(disk) => {
                let disk = if features & RingFeatures::IN_ORDER.bits() == 0 { disk } else { disk.in_order() };
                if self.polls { disk.into_polling_worker() } else { disk.into_worker() }
            }
            Err(error) => {
                report(format_args!("plain reads and writes are used, because there is no io_uring: {error}"));
                Worker::serve(device)
            }
        }
    }

    fn features(&self) -> u64 {
        self.device.features() | if self.queues > 1 { feature::MQ } else { 0 }
    }

    fn config(&self) -> Vec<u8> {
        let mut config = self.device.config(self.queue_size.min(USUAL_QUEUE_SIZE));
        config.num_queues = self.queues.into();
        config.as_bytes().to_vec()
    }

    fn write_config(&self, offset: usize, bytes: &[u8]) -> bool {
        self.device.write_config(offset, bytes)
    }

    fn num_queues(&self) -> usize {
        self.queues.into()
    }
}
