//! A storage that tells what was done to it.

use std::cell::RefCell;
use std::io;

use virtio_examples::blk::{NullStorage, Storage};

use crate::disk::{Disk, IN, request};

/// Sectors full of ones, whatever is written to them.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) size: u64,
    pub(crate) read_only: bool,
    /// Reads and writes that begin here or later fail, and so does everything else if it is 0.
    pub(crate) fails_from: u64,
    pub(crate) calls: RefCell<Vec<Call>>,
}

/// Something that was done, at an offset and for a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Read(u64, u64),
    Write(u64, u64),
    Flush,
    Discard(u64, u64),
    WriteZeroes(u64, u64),
}

impl Recorder {
    pub(crate) fn new(size: u64) -> Self {
        Self { size, read_only: false, fails_from: u64::MAX, calls: RefCell::default() }
    }

    pub(crate) fn take_calls(&self) -> Vec<Call> {
        self.calls.take()
    }

    fn call(&self, offset: u64, call: Call) -> io::Result<()> {
        self.calls.borrow_mut().push(call);
        if offset >= self.fails_from { Err(io::Error::other("out of order")) } else { Ok(()) }
    }
}

impl Storage for Recorder {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        buf.fill(0xff);
        self.call(offset, Call::Read(offset, buf.len() as u64))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.call(offset, Call::Write(offset, buf.len() as u64))
    }

    fn flush(&self) -> io::Result<()> {
        self.call(0, Call::Flush)
    }

    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        self.call(offset, Call::Discard(offset, len))
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> io::Result<()> {
        self.call(offset, Call::WriteZeroes(offset, len))
    }
}

#[test]
fn a_null_storage_is_zero_whatever_is_written() {
    let storage = NullStorage::new(1 << 40);
    assert_eq!((storage.size(), storage.read_only()), (1 << 40, false));
    storage.write_at(&[7; 8], 0).unwrap();
    storage.write_zeroes(0, 1 << 40).unwrap();
    storage.flush().unwrap();
    let mut bytes = [1; 8];
    storage.read_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, [0; 8]);
}

#[test]
fn a_null_storage_leaves_driver_memory_alone() {
    let mut disk = Disk::new(NullStorage::new(1 << 40));
    disk.fixture.driver.add(&request(IN, 0, [], 512)).unwrap();
    let range = disk.fixture.driver.raw().descriptor(1);
    disk.fixture.driver.raw().view().poke(range.addr, &[9; 512]);
    let reply = disk.process();
    reply.check_ok(512, 513);
    assert_eq!(reply.payload(), [9; 512]);
}
