//! Media that the tests are in charge of.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use virtio_examples::blk::Storage;

/// Any file, with a size that need not be its own.
#[derive(Debug)]
pub(crate) struct Files {
    file: File,
    size: u64,
}

impl Files {
    pub(crate) const fn new(file: File, size: u64) -> Self {
        Self { file, size }
    }
}

impl Storage for Files {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }

    fn file(&self) -> Option<&File> {
        Some(&self.file)
    }

    fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// A pipe as a medium: reads wait until somebody writes, and offsets mean nothing. The medium ends with the pipe.
#[derive(Debug)]
pub(crate) struct Pipe(File);

impl Pipe {
    /// The largest number of bytes that can be written before they are read.
    pub(crate) const ROOM: usize = 1 << 20;

    /// Returns a medium, and the pipe that feeds it.
    pub(crate) fn new() -> (Files, Self) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        fcntl_setpipe_size(&writer, Self::ROOM).unwrap();
        (Files::new(reader.into(), 1 << 30), Self(writer.into()))
    }

    /// Returns a medium that takes `room` bytes at a time, and the pipe that it feeds.
    pub(crate) fn with_room(room: usize) -> (Files, Self) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        assert_eq!(fcntl_setpipe_size(&writer, room).unwrap(), room);
        (Files::new(writer.into(), 1 << 30), Self(reader.into()))
    }

    pub(crate) fn write(&self, bytes: &[u8]) {
        (&self.0).write_all(bytes).unwrap();
    }

    /// Returns the next bytes.
    pub(crate) fn read(&self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        (&self.0).read_exact(&mut bytes).unwrap();
        bytes
    }
}
