//! Split rings in shared memory, byte by byte.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use super::back_end::wait_readable;
use super::front_end::*;
use Answer::Yes;

const PAGE: u64 = 0x1000;

/// The memory of a front end, for rings and buffers.
pub(crate) struct Memory {
    file: File,
}

/// Where its parts are: a ring takes three pages, its buffers sixteen.
const MEMORY: Region = Region { guest: 0x1_0000, size: 64 * PAGE, user: 0x7f00_0000_0000, offset: 0 };
const RING: u64 = 3 * PAGE;
const BUFFERS: u64 = 16 * PAGE;
const BUFFER: u64 = 2048;

impl Memory {
    /// Shares memory with the back end.
    pub(crate) fn share(front_end: &mut FrontEnd) -> Self {
        let file = memory_file(MEMORY.size);
        assert_eq!(front_end.add_memory(MEMORY, &file), Yes);
        Self { file }
    }

    /// Makes the file shorter.
    pub(crate) fn shorten(&self, len: u64) {
        self.file.set_len(len).unwrap();
    }

    fn read<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.file.read_exact_at(&mut bytes, at).unwrap();
        bytes
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, at).unwrap();
    }
}

/// A ring of 16 descriptors, each with a buffer of its own.
pub(crate) struct RawRing {
    index: u32,
    available: u16,
    used: u16,
    kick: OwnedFd,
    call: OwnedFd,
}

/// What a descriptor is for.
#[derive(Clone, Copy)]
pub(crate) enum Buffer<'b> {
    Readable(&'b [u8]),
    Writable(u32),
}

impl RawRing {
    /// Sets up the ring `index`, from its beginning, and lets it run.
    pub(crate) fn start(front_end: &mut FrontEnd, index: u32) -> Self {
        let (kick, call) = (event_fd(), event_fd());
        assert_eq!(front_end.set_ring(SET_VRING_NUM, index, 16), Yes);
        assert_eq!(front_end.set_ring(SET_VRING_BASE, index, 0), Yes);
        let at = MEMORY.user + u64::from(index) * RING;
        let areas = [at, at + 2 * PAGE, at + PAGE, 0].map(u64::to_le_bytes).concat();
        assert_eq!(front_end.set(SET_VRING_ADDR, &[pair(index, 0), areas].concat()), Yes);
        assert_eq!(front_end.set_event(SET_VRING_CALL, index.into(), call.as_fd()), Yes);
        assert_eq!(front_end.set_ring(SET_VRING_ENABLE, index, 1), Yes);
        assert_eq!(front_end.set_event(SET_VRING_KICK, index.into(), kick.as_fd()), Yes);
        Self { index, available: 0, used: 0, kick, call }
    }

    /// Resets the ring, which is broken, and lets it run from its beginning. Its memory is that of a new one.
    pub(crate) fn reset(self, memory: &Memory, front_end: &mut FrontEnd) -> Self {
        assert_eq!(front_end.stop_ring(self.index), Some(0));
        self.begin_anew(memory, front_end)
    }

    /// Lets the ring, which was stopped, run from its beginning. Its memory is that of a new one.
    pub(crate) fn begin_anew(self, memory: &Memory, front_end: &mut FrontEnd) -> Self {
        self.set_available_silently(memory, 0);
        memory.write(u64::from(self.index) * RING + 2 * PAGE + 2, &[0; 2]);
        Self::start(front_end, self.index)
    }

    /// Lets the ring, which was stopped, go on from `base`.
    pub(crate) fn go_on(&self, front_end: &mut FrontEnd, base: u32) {
        assert_eq!(front_end.set_ring(SET_VRING_BASE, self.index, base), Yes);
        assert_eq!(front_end.set_event(SET_VRING_KICK, self.index.into(), self.kick.as_fd()), Yes);
    }

    /// Makes a buffer available, in the next place, with a kick.
    pub(crate) fn add(&mut self, memory: &Memory, buffer: Buffer<'_>) {
        let slot = self.available % 16;
        let place = self.buffer(slot);
        let (len, flags) = match buffer {
            Buffer::Readable(bytes) => {
                memory.write(place, bytes);
                (bytes.len() as u32, 0_u16)
            }
            Buffer::Writable(len) => (len, 2),
        };
        self.describe(memory, slot, len, flags, 0);
        self.offer(memory, slot);
    }

    /// Writes a descriptor of the buffer that belongs to it.
    fn describe(&self, memory: &Memory, slot: u16, len: u32, flags: u16, next: u16) {
        let mut descriptor = (MEMORY.guest + self.buffer(slot)).to_le_bytes().to_vec();
        descriptor.extend(len.to_le_bytes());
        descriptor.extend(flags.to_le_bytes());
        descriptor.extend(next.to_le_bytes());
        memory.write(u64::from(self.index) * RING + u64::from(slot) * 16, &descriptor);
    }

    /// Makes what begins with a descriptor available in the next place, with a kick.
    fn offer(&mut self, memory: &Memory, slot: u16) {
        let place = u64::from(self.available % 16) * 2;
        memory.write(u64::from(self.index) * RING + PAGE + 4 + place, &slot.to_le_bytes());
        self.available += 1;
        self.set_available(memory, self.available);
    }

    /// Makes a request available that has room for an answer of one byte, and waits for the answer. The answer has the
    /// place of a later buffer.
    #[track_caller]
    pub(crate) fn ask(&mut self, memory: &Memory, request: &[u8]) -> Vec<u8> {
        let slot = self.available % 8;
        memory.write(self.buffer(slot), request);
        self.describe(memory, slot, request.len() as u32, 1, slot + 8);
        self.describe(memory, slot + 8, 1, 2, 0);
        self.offer(memory, slot);
        let mut answer = self.wait(memory);
        memory.file.read_exact_at(&mut answer, self.buffer(slot + 8)).unwrap();
        answer
    }

    /// Says that so much is available, and kicks.
    pub(crate) fn set_available(&self, memory: &Memory, index: u16) {
        self.set_available_silently(memory, index);
        self.kick();
    }

    pub(crate) fn kick(&self) {
        rustix::io::write(&self.kick, &1_u64.to_ne_bytes()).unwrap();
    }

    /// Says that so much is available.
    pub(crate) fn set_available_silently(&self, memory: &Memory, index: u16) {
        memory.write(u64::from(self.index) * RING + PAGE + 2, &index.to_le_bytes());
    }

    /// Waits for the next buffer that was used, and returns what was written to it.
    #[track_caller]
    pub(crate) fn wait(&mut self, memory: &Memory) -> Vec<u8> {
        let ring = u64::from(self.index) * RING + 2 * PAGE;
        while u16::from_le_bytes(memory.read(ring + 2)) == self.used {
            wait_readable(&self.call, "a used buffer");
            rustix::io::read(&self.call, &mut [0; 8]).unwrap();
        }
        let element: [u8; 8] = memory.read(ring + 4 + u64::from(self.used % 16) * 8);
        self.used += 1;
        let (slot, len) = element.split_at(4);
        let mut bytes = vec![0; u32::from_le_bytes(len.try_into().unwrap()) as usize];
        memory.file.read_exact_at(&mut bytes, self.buffer(u16::from_le_bytes([slot[0], slot[1]]))).unwrap();
        bytes
    }

    fn buffer(&self, slot: u16) -> u64 {
        BUFFERS + (u64::from(self.index) * 16 + u64::from(slot)) * BUFFER
    }
}
