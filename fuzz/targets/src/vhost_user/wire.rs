//! The connection of a front end.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// How long an answer may take. A device here never keeps a chain.
const PATIENCE: Duration = Duration::from_secs(8);

/// The message by which it is found out whether all before it was handled: GET_FEATURES.
const BARRIER: u32 = 1;

/// A connection, from which answers are taken by those who wait for them.
pub(crate) struct Wire {
    connection: UnixStream,
    /// How many messages of the kind of [`BARRIER`] are not answered.
    barriers: usize,
    /// What was received, and is no whole answer yet.
    received: Vec<u8>,
    /// The last file that came with an answer.
    pub(crate) file: Option<OwnedFd>,
}

impl Wire {
    pub(crate) fn new(connection: UnixStream) -> Self {
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { connection, barriers: 0, received: Vec::new(), file: None }
    }

    /// Sends a message, and returns whether there is still somebody who gets it.
    pub(crate) fn send(&mut self, request: u32, flags: u32, body: &[u8], files: &[BorrowedFd<'_>]) -> bool {
        let len = u32::try_from(body.len()).unwrap();
        let message = [&request.to_le_bytes(), &flags.to_le_bytes(), &len.to_le_bytes(), body].concat();
        self.barriers += usize::from(request == BARRIER);
        self.send_bytes(&message, files)
    }

    /// Sends bytes that may be no message.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8], files: &[BorrowedFd<'_>]) -> bool {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(40))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(files.is_empty() || control.push(SendAncillaryMessage::ScmRights(files)));
        let mut send = || sendmsg(&self.connection, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL);
        let sent = rustix::io::retry_on_intr(&mut send);
        sent.is_ok_and(|sent| sent == bytes.len())
    }

    /// Waits until everything before was handled, and returns whether there may be more.
    pub(crate) fn wait(&mut self) -> bool {
        if !self.send(BARRIER, 1, &[], &[]) {
            return false;
        }
        while self.barriers > 0 {
            if !self.receive() {
                return false;
            }
            while let Some(request) = self.take_answer() {
                self.barriers -= usize::from(request == BARRIER && self.barriers > 0);
            }
        }
        true
    }

    /// Goes, and waits until the other side has seen that.
    pub(crate) fn end(mut self) {
        let _ = self.connection.shutdown(Shutdown::Write);
        while self.receive() {}
    }

    /// Waits for some bytes, and returns whether there are any before the end.
    fn receive(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let buffers = &mut [IoSliceMut::new(&mut bytes)];
        let received = match recvmsg(&self.connection, buffers, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => received.bytes,
            // The fuzzer has an alarm.
            Err(rustix::io::Errno::INTR) => return true,
            Err(rustix::io::Errno::AGAIN) => panic!("the back end has not answered for {PATIENCE:?}"),
            Err(_) => 0,
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                self.file = files.last();
            }
        }
        self.received.extend_from_slice(&bytes[..received]);
        received > 0
    }

    /// Returns what the next answer is an answer to, if all of it is there.
    fn take_answer(&mut self) -> Option<u32> {
        let word = |at: usize| Some(u32::from_le_bytes(self.received.get(at..at + 4)?.try_into().unwrap()));
        let (request, len) = (word(0)?, 12 + word(8)? as usize);
        if self.received.len() < len {
            return None;
        }
        self.received.drain(..len);
        Some(request)
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}
