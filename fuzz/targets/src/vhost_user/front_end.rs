//! A front end with its memory, its eventfds, and a driver for two of the rings.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::ioctl_fionbio;
use virtio_fake_driver::{AnyDriver, DriverChain, DriverOptions};
use virtio_mem_traits::{DriverAddr, DriverRange};
use virtio_vm_memory::VmMemory;
use vm_memory::{FileOffset, GuestAddress, GuestMemoryMmap};

use super::message::{self, Message};
use super::regions::{REGION_LEN, REGIONS, USER};
use super::wire::Wire;
use crate::input::Input;

type Driver = AnyDriver<VmMemory<Arc<GuestMemoryMmap>>>;

/// The length of the files for the log and the record.
const SHARED_LEN: u64 = 0x1_2000;

const PACKED: u64 = 1 << 34;
const PROTOCOL_FEATURES: u64 = 1 << 30;

pub(crate) struct FrontEnd {
    wire: Wire,
    features: u64,
    memory: File,
    drivers: [Driver; 2],
    /// A file for the record of what is in flight, and one for the log.
    shared: [File; 2],
    /// Three for each ring.
    events: [OwnedFd; 6],
}

impl FrontEnd {
    pub(crate) fn new(input: &mut Input<'_>, wire: Wire) -> Self {
        let chosen = u64::from(input.u8());
        let bits = [34, 28, 29].iter().enumerate().map(|(at, bit)| (chosen >> at & 1) << bit);
        let features = bits.fold(1 << 32, |features, bit| features | bit);
        let memory = file(3 * REGION_LEN);
        let region = |place: u64| FileOffset::new(memory.try_clone().unwrap(), place * REGION_LEN);
        let ranges = [0, 1, 2].map(|at| (GuestAddress(REGIONS[at as usize]), REGION_LEN as usize, Some(region(at))));
        let guest = Arc::new(GuestMemoryMmap::from_ranges_with_files(ranges).unwrap());
        let drivers = [0, 1].map(|at| {
            let range = DriverRange::new(DriverAddr(REGIONS[at]), REGION_LEN).unwrap();
            let options = DriverOptions { features, ..DriverOptions::default() };
            Driver::within(VmMemory::new(Arc::clone(&guest)), range, 8, options)
        });
        let events = [(); 6].map(|()| eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap());
        Self { wire, features, memory, drivers, shared: [SHARED_LEN; 2].map(file), events }
    }

    /// Says all that it takes to run two rings, perhaps with a record and a log.
    pub(crate) fn set_up(&mut self, input: &mut Input<'_>) {
        let log_all = if input.flag() { 1 << 26 } else { 0 };
        self.say(&Message::words(message::SET_OWNER, &[]), &[]);
        self.say(&Message::words(message::SET_PROTOCOL_FEATURES, &[message::PROTOCOL]), &[]);
        self.say(&Message::words(message::SET_FEATURES, &[self.features | PROTOCOL_FEATURES | log_all]), &[]);
        for (place, guest) in (0..).zip(REGIONS) {
            let region = [0, guest, REGION_LEN, USER + guest, place * REGION_LEN];
            self.say(&Message::words(message::ADD_MEM_REG, &region), &[What::Memory]);
        }
        if input.flag() {
            let (queues, size) = (3, 8);
            self.say(&Message::words(message::GET_INFLIGHT_FD, &[0, 0, queues | size << 16]), &[]);
            self.wire.wait();
            self.say(&Message::words(message::SET_INFLIGHT_FD, &[960, 0, queues | size << 16]), &[What::Received]);
        }
        if input.flag() {
            self.say(&Message::words(message::SET_LOG_BASE, &[0x1000, 0]), &[What::Shared(1)]);
        }
        (0..2).for_each(|ring| self.set_up_ring(ring));
    }

    fn set_up_ring(&mut self, ring: u64) {
        let place = ring as usize;
        let [descriptors, available, used] = self.drivers[place].area_addresses().map(|addr| USER + addr.0);
        let base = if self.features & PACKED == 0 { 0 } else { 0x8000 };
        self.say(&Message::words(message::SET_VRING_NUM, &[ring | 8 << 32]), &[]);
        self.say(&Message::words(message::SET_VRING_BASE, &[ring | base << 32]), &[]);
        let addr = [ring, descriptors, used, available, 0];
        self.say(&Message::words(message::SET_VRING_ADDR, &addr), &[]);
        for (at, request) in
            [message::SET_VRING_ERR, message::SET_VRING_CALL, message::SET_VRING_KICK].iter().enumerate()
        {
            self.say(&Message::words(*request, &[ring]), &[What::Event(3 * place + at)]);
        }
        self.say(&Message::words(message::SET_VRING_ENABLE, &[ring | 1 << 32]), &[]);
    }

    /// Does something, and returns whether there is still somebody who hears of it.
    pub(crate) fn step(&mut self, input: &mut Input<'_>) -> bool {
        match input.u8() % 16 {
            0..6 => self.say_anything(input),
            6..9 => self.send_chain(input),
            9 => self.wire.wait(),
            10 => write(input, &self.memory, 3 * REGION_LEN),
            11 => write(input, &self.shared[0], SHARED_LEN),
            12 => self.change_record(input),
            13 => self.change_event(input),
            14 => self.set_up_again(input),
            _ => self.reap(input),
        }
    }

    pub(crate) fn end(self) {
        self.wire.end();
    }

    fn say_anything(&mut self, input: &mut Input<'_>) -> bool {
        let message = Message::any(input);
        let files: Vec<_> = match input.u8() {
            7 => (0..input.below(36)).map(|_| What::any(input)).collect(),
            8 => Vec::new(),
            _ => What::fitting(message.request, input),
        };
        let flags = if input.u8() == 7 { input.u32() } else { 1 | u32::from(input.u8() & 1) << 3 };
        if input.u8() == 7 {
            // A message that is cut short is the last one.
            let whole = [&message.request.to_le_bytes(), &flags.to_le_bytes(), &[0xff, 0xf, 0, 0], &message.body[..]];
            let (whole, len) = (whole.concat(), input.below(40));
            self.wire.send_bytes(&whole[..len.min(whole.len())], &[]);
            return false;
        }
        self.say_with(&message, flags, &files)
    }

    fn say(&mut self, message: &Message, files: &[What]) {
        self.say_with(message, 1, files);
    }

    fn say_with(&mut self, message: &Message, flags: u32, files: &[What]) -> bool {
        let own: Vec<_> = files.iter().filter_map(|what| self.file(*what)).collect();
        let files: Vec<_> = own.iter().map(AsFd::as_fd).collect();
        self.wire.send(message.request, flags, &message.body, &files)
    }

    /// Returns a duplicate of a file, or a new one.
    fn file(&self, what: What) -> Option<OwnedFd> {
        let clone = |file: BorrowedFd<'_>| file.try_clone_to_owned().ok();
        match what {
            What::Memory => clone(self.memory.as_fd()),
            What::Shared(at) => clone(self.shared[at % 2].as_fd()),
            What::Received => self.wire.file.as_ref().and_then(|file| clone(file.as_fd())),
            What::Event(at) => clone(self.events[at % 6].as_fd()),
            What::Socket => UnixStream::pair().ok().map(|(one, _)| one.into()),
            What::Connection => clone(self.wire.as_fd()),
            What::Nothing => File::open("/dev/null").ok().map(OwnedFd::from),
        }
    }

    fn send_chain(&mut self, input: &mut Input<'_>) -> bool {
        let ring = input.below(2);
        let text = input.u8();
        let mut chain =
            DriverChain::new().readable(vec![b'a'; usize::from(text % 32 + 1)]).writable(u32::from(text) + 1);
        if input.u8() & 3 == 0 {
            let other = REGIONS[2] + REGION_LEN - 64 - u64::from(input.u8());
            chain = chain.writable(64).at(DriverAddr(other));
        }
        let _ = self.drivers[ring].add(&chain);
        signal(&self.events[3 * ring + 2]);
        true
    }

    fn reap(&mut self, input: &mut Input<'_>) -> bool {
        let _ = self.drivers[input.below(2)].reap_all();
        true
    }

    /// Writes into the file that the back end has made.
    fn change_record(&self, input: &mut Input<'_>) -> bool {
        let Some(record) = &self.wire.file else { return true };
        let offset = u64::from(input.u16()) % 0x400;
        let len = usize::from(input.u8() % 9);
        let _ = rustix::io::pwrite(record, input.bytes(len), offset);
        true
    }

    fn change_event(&self, input: &mut Input<'_>) -> bool {
        let event = &self.events[input.below(6)];
        let _ = ioctl_fionbio(event, input.flag());
        let full = u64::MAX - 1;
        // To fill one that is full would wait, if it is in blocking mode by now.
        let _ = ioctl_fionbio(event, true).and_then(|()| rustix::io::write(event, &full.to_ne_bytes()));
        let _ = ioctl_fionbio(event, input.flag());
        true
    }

    fn set_up_again(&mut self, input: &mut Input<'_>) -> bool {
        self.set_up_ring(input.below(2) as u64);
        self.wire.wait()
    }
}

/// A file to be sent.
#[derive(Clone, Copy)]
enum What {
    Memory,
    Shared(usize),
    Received,
    Event(usize),
    Socket,
    Connection,
    Nothing,
}

impl What {
    fn any(input: &mut Input<'_>) -> Self {
        match input.u8() % 8 {
            0 => Self::Memory,
            1 => Self::Shared(input.below(2)),
            2 => Self::Received,
            3 => Self::Socket,
            4 => Self::Connection,
            5 => Self::Nothing,
            _ => Self::Event(input.below(6)),
        }
    }

    /// Returns what a message should come with.
    fn fitting(request: u32, input: &mut Input<'_>) -> Vec<Self> {
        match request {
            message::SET_VRING_KICK | message::SET_VRING_CALL | message::SET_VRING_ERR | message::SET_LOG_FD => {
                vec![Self::Event(input.below(6))]
            }
            5 => vec![Self::Memory; input.below(4)],
            message::ADD_MEM_REG => vec![Self::Memory],
            message::SET_LOG_BASE => vec![Self::Shared(1)],
            message::SET_INFLIGHT_FD => vec![if input.flag() { Self::Received } else { Self::Shared(0) }],
            33 | 42 => vec![Self::any(input)],
            _ => Vec::new(),
        }
    }
}

/// Adds one to an eventfd, unless that would wait.
fn signal(event: &OwnedFd) {
    let mut events = [PollFd::new(event, PollFlags::OUT)];
    if poll(&mut events, Some(&Timespec::default())) == Ok(1) {
        let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
    }
}

fn file(len: u64) -> File {
    let file = File::from(memfd_create("fuzz", MemfdFlags::CLOEXEC).unwrap());
    file.set_len(len).unwrap();
    file
}

/// Writes some bytes anywhere in a file.
fn write(input: &mut Input<'_>, file: &File, len: u64) -> bool {
    let place = if input.flag() { u64::from(input.u8()) } else { u64::from(input.u32()) % len };
    let bytes = usize::from(input.u8() % 17);
    let _ = file.write_all_at(input.bytes(bytes), place.min(len - 17));
    true
}
