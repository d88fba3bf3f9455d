//! Files as storages.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use virtio_examples::blk::{BlockDevice, DeviceId, FileStorage, Storage, feature};

use crate::disk::{DISCARD, Disk, IN, IOERR, OUT, SECTOR, WRITE_ZEROES, pattern, request, segment};

/// A file that is gone after the test.
pub(crate) struct TempFile(PathBuf);

impl TempFile {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("virtio-examples-{}-{number}", std::process::id()));
        fs::write(&path, bytes).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(&self.0).unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Checks what is said of a path that cannot be a storage, with the path left out.
fn check_refused(path: &Path, expected: &str) {
    let error = FileStorage::open_read_only(path).unwrap_err().to_string();
    assert_eq!(error, format!("{}: {expected}", path.display()));
    assert_eq!(FileStorage::open(path).unwrap_err().to_string(), error);
}

#[test]
fn open_of_what_is_no_file_is_refused() {
    check_refused(&std::env::temp_dir(), "neither a file nor a block device");
    check_refused(Path::new("/dev/null"), "neither a file nor a block device");
    check_refused(Path::new("/nonexistent/disk"), "No such file or directory (os error 2)");
    check_refused(TempFile::new(&[]).path(), "an empty file cannot be a disk");
}

#[test]
fn a_file_is_read_and_written_in_place() {
    let mut expected = pattern(4 * SECTOR);
    let file = TempFile::new(&expected);
    let mut disk = Disk::new(FileStorage::open(file.path()).unwrap());
    assert_eq!(disk.send(&request(IN, 1, [], 1024)).payload(), &expected[SECTOR..3 * SECTOR]);
    disk.send(&request(OUT, 2, [7; SECTOR], 0)).check_ok(512, 1);
    expected[2 * SECTOR..3 * SECTOR].fill(7);
    assert_eq!(file.bytes(), expected);
}

#[test]
fn a_file_of_odd_size_is_padded_and_never_grows() {
    for size in [1, 511, 513, 1000] {
        let stored = pattern(size);
        let file = TempFile::new(&stored);
        let mut disk = Disk::new(FileStorage::open(file.path()).unwrap());
        let last = (size - 1) / SECTOR;
        let reply = disk.send(&request(IN, last as u64, [], 512));
        reply.check_ok(512, 513);
        let mut sector = stored[last * SECTOR..].to_vec();
        sector.resize(SECTOR, 0);
        assert_eq!(reply.payload(), sector);

        sector[0] = 0xee;
        disk.send(&request(OUT, last as u64, &sector, 0)).check_ok(512, 1);
        disk.send(&request(DISCARD, 0, segment(0, last as u32, 0), 0)).check_ok(last as u64 * 512, 1);
        let bytes = file.bytes();
        assert_eq!(bytes.len(), size);
        assert_eq!(bytes[last * SECTOR..], sector[..size - last * SECTOR]);
    }
}

#[test]
fn a_file_has_holes_where_it_was_discarded() {
    use std::os::unix::fs::MetadataExt;

    let file = TempFile::new(&vec![1; 1 << 20]);
    let blocks = || fs::metadata(file.path()).unwrap().blocks();
    let before = blocks();
    let mut disk = Disk::new(FileStorage::open(file.path()).unwrap());
    disk.send(&request(DISCARD, 0, segment(0, 1024, 0), 0)).check_ok(1 << 19, 1);
    // Where the file system cannot make holes, that is how it has to be.
    assert!(blocks() < before || file.bytes()[0] == 1);
    assert_eq!(file.bytes()[1 << 19..], vec![1; 1 << 19]);
}

/// With the flag UNMAP, space is released. Without it, it stays allocated.
#[test]
fn zeroes_release_the_space_of_a_file_if_the_driver_allows_it() {
    use std::os::unix::fs::MetadataExt;

    for unmap in [0, 1] {
        let file = TempFile::new(&vec![1; 1 << 20]);
        let blocks = || fs::metadata(file.path()).unwrap().blocks();
        let before = blocks();
        let mut disk = Disk::new(FileStorage::open(file.path()).unwrap());
        assert_eq!(disk.device.config(16).write_zeroes_may_unmap, 1);
        let segments = [segment(1, 1024, unmap), segment(2040, 8, unmap)].concat();
        disk.send(&request(WRITE_ZEROES, 0, segments, 0)).check_ok(1032 * 512, 1);
        let mut expected = vec![1; 1 << 20];
        expected[512..1025 * 512].fill(0);
        expected[2040 * 512..].fill(0);
        assert!(file.bytes() == expected);
        // Where the file system cannot make holes, both are the same.
        assert!(if unmap == 0 { blocks() >= before } else { blocks() <= before }, "{unmap}: {} blocks", blocks());
    }
}

/// In files whose size is no multiple of a page, nor of a sector, the zeroes end where the file does.
#[test]
fn zeroes_are_written_to_a_file_where_they_belong_and_nowhere_else() {
    for (first, sectors) in [(0, 1), (3, 9), (16, 17), (1, 32), (0, 33)] {
        let mut expected = vec![1; 32 * SECTOR + 100];
        let file = TempFile::new(&expected);
        let mut disk = Disk::new(FileStorage::open(file.path()).unwrap());
        let (start, end) = (first * SECTOR, ((first + sectors) * SECTOR).min(expected.len()));
        disk.send(&request(WRITE_ZEROES, 0, segment(first as u64, sectors as u32, 0), 0))
            .check_ok((end - start) as u64, 1);
        expected[start..end].fill(0);
        assert_eq!(file.bytes(), expected, "{sectors} from {first} on");
    }
}

#[test]
fn a_read_only_file_is_a_read_only_device() {
    let file = TempFile::new(&[1; SECTOR]);
    let storage = FileStorage::open_read_only(file.path()).unwrap();
    assert!(storage.read_only());
    let device = BlockDevice::new(&storage, DeviceId::new("").unwrap());
    assert_ne!(device.features() & feature::RO, 0);
    let mut disk = Disk::new(storage);
    disk.send(&request(IN, 0, [], 512)).check_ok(512, 513);
    disk.send(&request(crate::disk::FLUSH, 0, [], 0)).check_ok(0, 1);
    assert_eq!(disk.send(&request(OUT, 0, [0; SECTOR], 0)).status(), IOERR);
    assert_eq!(file.bytes(), [1; SECTOR]);
}

#[test]
fn a_file_that_was_cut_short_meanwhile_is_ioerr() {
    let file = TempFile::new(&[1; 2 * SECTOR]);
    let mut disk = Disk::new(FileStorage::open(file.path()).unwrap());
    fs::write(file.path(), [1; SECTOR]).unwrap();
    let reply = disk.send(&request(IN, 1, [], 512));
    assert_eq!((reply.status(), reply.len), (IOERR, 0));
}
