//! A front end that says what it is told to say, in its own words.

use core::mem::MaybeUninit;
use std::fs::{self, File};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    SocketAddrUnix, getpeername, recvmsg, sendmsg,
};

use super::back_end::PATIENCE;

pub(crate) const GET_FEATURES: u32 = 1;
pub(crate) const SET_FEATURES: u32 = 2;
pub(crate) const SET_MEM_TABLE: u32 = 5;
pub(crate) const SET_LOG_BASE: u32 = 6;
pub(crate) const SET_LOG_FD: u32 = 7;
pub(crate) const SET_VRING_NUM: u32 = 8;
pub(crate) const SET_VRING_ADDR: u32 = 9;
pub(crate) const SET_VRING_BASE: u32 = 10;
pub(crate) const GET_VRING_BASE: u32 = 11;
pub(crate) const SET_VRING_KICK: u32 = 12;
pub(crate) const SET_VRING_CALL: u32 = 13;
pub(crate) const SET_VRING_ERR: u32 = 14;
pub(crate) const GET_PROTOCOL_FEATURES: u32 = 15;
pub(crate) const SET_PROTOCOL_FEATURES: u32 = 16;
pub(crate) const GET_QUEUE_NUM: u32 = 17;
pub(crate) const SET_VRING_ENABLE: u32 = 18;
pub(crate) const SEND_RARP: u32 = 19;
pub(crate) const GET_CONFIG: u32 = 24;
pub(crate) const SET_CONFIG: u32 = 25;
pub(crate) const GET_INFLIGHT_FD: u32 = 31;
pub(crate) const SET_INFLIGHT_FD: u32 = 32;
pub(crate) const RESET_DEVICE: u32 = 34;
pub(crate) const ADD_MEM_REG: u32 = 37;
pub(crate) const REM_MEM_REG: u32 = 38;

/// MQ, LOG_SHMFD, REPLY_ACK, CONFIG, INFLIGHT_SHMFD, RESET_DEVICE, CONFIGURE_MEM_SLOTS.
pub(crate) const PROTOCOL: u64 = 1 | 1 << 1 | 1 << 3 | 1 << 9 | 1 << 12 | 1 << 13 | 1 << 15;

/// What devices offer that can announce a guest.
pub(crate) const RARP: u64 = 1 << 2;

/// VERSION_1 and PROTOCOL_FEATURES.
pub(crate) const FEATURES: u64 = 1 << 32 | 1 << 30;

/// What the back end makes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    /// The connection is closed.
    Closed,
}

/// A front end.
pub(crate) struct FrontEnd {
    stream: UnixStream,
}

impl FrontEnd {
    /// Connects, and says nothing.
    pub(crate) fn connect(socket: &Path) -> Self {
        Self::on(UnixStream::connect(socket).unwrap())
    }

    fn on(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream }
    }

    /// Connects, and agrees on everything.
    pub(crate) fn agreed(socket: &Path, features: u64) -> Self {
        Self::agreed_on(UnixStream::connect(socket).unwrap(), features)
    }

    /// Agrees on everything.
    pub(crate) fn agreed_on(stream: UnixStream, features: u64) -> Self {
        let mut front_end = Self::on(stream);
        assert_eq!(front_end.get(GET_FEATURES) & features, features);
        assert_eq!(front_end.get(GET_PROTOCOL_FEATURES) & !RARP, PROTOCOL);
        assert_eq!(front_end.set(SET_PROTOCOL_FEATURES, &PROTOCOL.to_le_bytes()), Answer::Yes);
        assert_eq!(front_end.set(SET_FEATURES, &features.to_le_bytes()), Answer::Yes);
        front_end
    }

    /// Returns a second voice on the connection that something in this process has to `socket`.
    pub(crate) fn beside(socket: &Path) -> Self {
        let fds =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let found = fds.map(|fd: i32| {
            // SAFETY: it is borrowed for the duration of two system calls, for which any number will do.
            unsafe { BorrowedFd::borrow_raw(fd) }
        });
        let mut connections = found.filter(|fd| {
            let peer = getpeername(fd).ok().flatten().and_then(|peer| SocketAddrUnix::try_from(peer).ok());
            peer.is_some_and(|peer| peer.path_bytes() == Some(socket.as_os_str().as_encoded_bytes()))
        });
        Self::on(rustix::io::dup(connections.next().unwrap()).unwrap().into())
    }

    /// Sends whatever bytes and files.
    pub(crate) fn send_raw(&mut self, bytes: &[u8], files: &[BorrowedFd<'_>]) -> rustix::io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); 512];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(files)));
        }
        sendmsg(&self.stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
    }

    fn send(&mut self, request: u32, flags: u32, body: &[u8], files: &[BorrowedFd<'_>]) {
        let _ = self.send_raw(&message(request, flags, body), files);
    }

    /// Receives a reply, if the connection is not closed.
    pub(crate) fn receive(&mut self) -> Option<(u32, Vec<u8>)> {
        let mut header = [0; 12];
        match self.stream.read_exact(&mut header) {
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => return None,
            result => result.unwrap(),
        }
        let [request, flags, len] = [0, 4, 8].map(|at| u32::from_le_bytes(header[at..at + 4].try_into().unwrap()));
        assert_eq!(flags, 1 | 1 << 2, "a reply");
        let mut body = vec![0; len as usize];
        self.stream.read_exact(&mut body).unwrap();
        Some((request, body))
    }

    /// Returns whether there is an answer, after a moment in which there could have been one.
    pub(crate) fn is_answered(&self) -> bool {
        let moment = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        poll(&mut [PollFd::new(&self.stream, PollFlags::IN)], Some(&moment)).unwrap() > 0
    }

    /// Asks for something.
    pub(crate) fn ask(&mut self, request: u32, body: &[u8]) -> Option<Vec<u8>> {
        self.send(request, 1, body, &[]);
        let (answered, body) = self.receive()?;
        assert_eq!(answered, request);
        Some(body)
    }

    /// Asks for something, with a file.
    pub(crate) fn ask_with(&mut self, request: u32, body: &[u8], file: impl AsFd) -> Option<Vec<u8>> {
        self.send(request, 1, body, &[file.as_fd()]);
        let (answered, body) = self.receive()?;
        assert_eq!(answered, request);
        Some(body)
    }

    /// Asks for something that comes with a file.
    pub(crate) fn ask_for_file(&mut self, request: u32, body: &[u8]) -> Option<(Vec<u8>, File)> {
        self.send(request, 1, body, &[]);
        let (mut header, mut space) = ([0; 12], [MaybeUninit::uninit(); 64]);
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received =
            recvmsg(&self.stream, &mut [IoSliceMut::new(&mut header)], &mut control, RecvFlags::WAITALL).unwrap();
        if received.bytes == 0 {
            return None;
        }
        let files = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        let file = File::from(files.flatten().next().unwrap());
        assert_eq!(header[..4], request.to_le_bytes());
        let mut body = vec![0; u32::from_le_bytes(header[8..].try_into().unwrap()) as usize];
        self.stream.read_exact(&mut body).unwrap();
        Some((body, file))
    }

    /// Asks for a number.
    pub(crate) fn get(&mut self, request: u32) -> u64 {
        u64::from_le_bytes(self.ask(request, &[]).unwrap().try_into().unwrap())
    }

    /// Sets something with files.
    pub(crate) fn set_with(&mut self, request: u32, body: &[u8], files: &[BorrowedFd<'_>]) -> Answer {
        self.send(request, 1 | 1 << 3, body, files);
        let Some((answered, body)) = self.receive() else { return Answer::Closed };
        assert_eq!(answered, request);
        if body == [0; 8] { Answer::Yes } else { Answer::No }
    }

    /// Sets something with a file.
    pub(crate) fn set_file(&mut self, request: u32, body: &[u8], file: impl AsFd) -> Answer {
        self.set_with(request, body, &[file.as_fd()])
    }

    /// Sets something.
    pub(crate) fn set(&mut self, request: u32, body: &[u8]) -> Answer {
        self.set_with(request, body, &[])
    }

    /// Sets something of a ring.
    pub(crate) fn set_ring(&mut self, request: u32, index: u32, value: u32) -> Answer {
        self.set(request, &pair(index, value))
    }

    /// Sends an eventfd, or something else, for a ring.
    pub(crate) fn set_event(&mut self, request: u32, index: u64, file: impl AsFd) -> Answer {
        self.set_with(request, &index.to_le_bytes(), &[file.as_fd()])
    }

    /// Stops a ring, and returns where it is.
    pub(crate) fn stop_ring(&mut self, index: u32) -> Option<u32> {
        let body = self.ask(GET_VRING_BASE, &pair(index, 0))?;
        assert_eq!(body[..4], index.to_le_bytes());
        Some(u32::from_le_bytes(body[4..].try_into().unwrap()))
    }

    /// Shares memory, as one region.
    pub(crate) fn add_memory(&mut self, region: Region, file: impl AsFd) -> Answer {
        self.set_with(ADD_MEM_REG, &region.message(), &[file.as_fd()])
    }

    pub(crate) fn remove_memory(&mut self, region: Region) -> Answer {
        self.set(REM_MEM_REG, &region.message())
    }

    /// Shares all memory at once.
    pub(crate) fn set_memory(&mut self, regions: &[Region], files: &[BorrowedFd<'_>]) -> Answer {
        let head = pair(regions.len() as u32, 0);
        let regions = regions.iter().flat_map(|region| region.bytes());
        self.set_with(SET_MEM_TABLE, &head.into_iter().chain(regions).collect::<Vec<_>>(), files)
    }
}

/// A region of memory.
#[derive(Clone, Copy)]
pub(crate) struct Region {
    pub(crate) guest: u64,
    pub(crate) size: u64,
    pub(crate) user: u64,
    pub(crate) offset: u64,
}

impl Region {
    /// Returns what a message says that adds or removes it.
    pub(crate) fn message(self) -> Vec<u8> {
        [vec![0; 8], self.bytes()].concat()
    }

    fn bytes(self) -> Vec<u8> {
        [self.guest, self.size, self.user, self.offset].iter().flat_map(|value| value.to_le_bytes()).collect()
    }
}

/// Returns a message as bytes.
pub(crate) fn message(request: u32, flags: u32, body: &[u8]) -> Vec<u8> {
    let header = [request, flags, body.len() as u32];
    header.iter().flat_map(|value| value.to_le_bytes()).chain(body.iter().copied()).collect()
}

/// Returns two numbers as bytes.
pub(crate) fn pair(index: u32, value: u32) -> Vec<u8> {
    [index.to_le_bytes(), value.to_le_bytes()].concat()
}

/// Returns a file in memory.
pub(crate) fn memory_file(size: u64) -> File {
    let file = File::from(memfd_create("guest", MemfdFlags::CLOEXEC).unwrap());
    file.set_len(size).unwrap();
    file
}

/// Returns an eventfd as front ends make it.
pub(crate) fn event_fd() -> OwnedFd {
    rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap()
}
