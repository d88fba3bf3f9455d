//! A file, served to a driver.

mod bar;
mod disk;
mod doorbell;
mod session;
mod shared_memory;
mod transport;
mod workload;

use std::env;
use std::fs::{self, File};
use std::path::Path;
use std::process::{self, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use virtio_examples::blk::{FileStorage, Storage};

use bar::Bar;
use disk::Disk;
use session::{Report, with_disk};
use workload::{RandomTraffic, ReadAll};
use xtask_support::Hash;
use xtask_support::wrong_arguments;

/// The size of the temporary disk in bytes.
const DISK_SIZE: u64 = 8 << 20;

/// Has the driver read the file at `path`, through the storage that `wrap` makes of it.
pub(crate) fn serve_image<S: Storage + Send>(path: &Path, wrap: impl FnOnce(FileStorage) -> S) -> Result<ExitCode> {
    let storage = match FileStorage::open_read_only(path) {
        Ok(storage) => storage,
        Err(error) => return Ok(wrong_arguments(&format!("error: {error}"))),
    };
    let size = storage.size();
    println!("serving {}, {size} bytes", path.display());
    let begin = Instant::now();
    let (read, report) = with_disk(wrap(storage), |disk| read_all(disk, size))?;
    summarize(&report, begin.elapsed());
    compare(&read, &Hash::of(File::open(path)?)?)
}

/// Has the driver write and read a temporary file at random, through the storage that `wrap` makes of it.
pub(crate) fn serve_temporary<S: Storage + Send>(
    requests: u64,
    seed: u64,
    wrap: impl FnOnce(FileStorage) -> S,
) -> Result<ExitCode> {
    let (storage, file) = temporary_file()?;
    println!("serving a temporary file, {DISK_SIZE} bytes; {requests} requests from seed {seed}");
    let begin = Instant::now();
    let (read, report) = with_disk(wrap(storage), |disk| {
        let bar = Bar::new("writing and reading", requests);
        disk.run(&mut RandomTraffic::new(requests, seed, disk.capacity()?, &bar))?;
        disk.flush()?;
        read_all(disk, DISK_SIZE)
    })?;
    summarize(&report, begin.elapsed());
    compare(&read, &Hash::of(file)?)
}

fn read_all(disk: &mut Disk, size: u64) -> Result<Hash> {
    let bar = Bar::new("reading everything", size);
    let mut everything = ReadAll::new(disk.capacity()?, size, &bar);
    disk.run(&mut everything)?;
    Ok(everything.finish())
}

/// Makes a file of zeroes that has no name any more, so that nothing is left of it however this ends.
fn temporary_file() -> Result<(FileStorage, File)> {
    let name = format!("virtio-xtask-demo-{}-{:?}", process::id(), thread::current().id());
    let path = env::temp_dir().join(name);
    let file = File::options().read(true).write(true).create_new(true).open(&path);
    let file = file.with_context(|| format!("cannot create {}", path.display()))?;
    let storage = file.set_len(DISK_SIZE).map(|()| FileStorage::open(&path));
    fs::remove_file(&path)?;
    Ok((storage??, file))
}

fn summarize(report: &Report, took: Duration) {
    println!("requests           {}", report.requests);
    println!("bytes              {}", report.bytes);
    println!("seconds            {:.3}", took.as_secs_f64());
    println!("kicks              {}", report.kicks);
    println!("notifications      {}", report.notifications);
    println!("features           {}", feature_names(report.features).join(", "));
}

fn feature_names(features: u64) -> Vec<&'static str> {
    const NAMES: [(u32, &str); 9] = [
        (2, "SEG_MAX"),
        (5, "RO"),
        (6, "BLK_SIZE"),
        (9, "FLUSH"),
        (13, "DISCARD"),
        (14, "WRITE_ZEROES"),
        (28, "INDIRECT_DESC"),
        (29, "EVENT_IDX"),
        (32, "VERSION_1"),
    ];
    NAMES.into_iter().filter(|(bit, _)| features & 1 << bit != 0).map(|(_, name)| name).collect()
}

fn compare(read: &Hash, on_disk: &Hash) -> Result<ExitCode> {
    println!("SHA-256 as read    {read}");
    println!("SHA-256 on disk    {on_disk}");
    ensure!(read == on_disk, "what the driver read is not what is in the file");
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// A storage that changes one byte on the way to the driver.
    struct Flip {
        storage: FileStorage,
        position: u64,
    }

    impl Storage for Flip {
        fn size(&self) -> u64 {
            self.storage.size()
        }

        fn read_only(&self) -> bool {
            self.storage.read_only()
        }

        fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
            self.storage.read_at(buf, offset)?;
            let index = self.position.checked_sub(offset).and_then(|index| usize::try_from(index).ok());
            if let Some(byte) = index.and_then(|index| buf.get_mut(index)) {
                *byte ^= 0x10;
            }
            Ok(())
        }

        fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
            self.storage.write_at(buf, offset)
        }

        fn flush(&self) -> io::Result<()> {
            self.storage.flush()
        }
    }

    /// A file whose last sector is not whole.
    const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");

    #[track_caller]
    fn check_refused(result: Result<ExitCode>, expected: &str) {
        let error = format!("{:#}", result.expect_err("a byte was flipped"));
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn image_unchanged_is_accepted() {
        serve_image(Path::new(IMAGE), |file| file).expect("nothing is in the way");
    }

    #[test]
    fn image_with_a_byte_flipped_is_refused() {
        let result = serve_image(Path::new(IMAGE), |storage| Flip { storage, position: 12_345 });
        check_refused(result, "what the driver read is not what is in the file");
    }

    #[test]
    fn temporary_unchanged_is_accepted() {
        serve_temporary(500, 7, |file| file).expect("nothing is in the way");
    }

    #[test]
    fn temporary_with_a_byte_flipped_is_refused() {
        let result = serve_temporary(500, 7, |storage| Flip { storage, position: DISK_SIZE / 2 });
        check_refused(result, "differ from what was written");
        let result = serve_temporary(1, 7, |storage| Flip { storage, position: 0 });
        check_refused(result, "what the driver read is not what is in the file");
    }
}
