//! A vhost-user front end with one ring, which says what QEMU says, in its own words.

use std::fs::File;
use std::io::{IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::matrix::RING_PACKED;
use crate::output::PATIENCE;

const GET_FEATURES: u32 = 1;
const SET_FEATURES: u32 = 2;
const SET_OWNER: u32 = 3;
const SET_MEM_TABLE: u32 = 5;
const SET_LOG_BASE: u32 = 6;
const SET_VRING_NUM: u32 = 8;
const SET_VRING_ADDR: u32 = 9;
const SET_VRING_BASE: u32 = 10;
const GET_VRING_BASE: u32 = 11;
const SET_VRING_KICK: u32 = 12;
const SET_VRING_CALL: u32 = 13;
const GET_PROTOCOL_FEATURES: u32 = 15;
const SET_PROTOCOL_FEATURES: u32 = 16;
const SET_VRING_ENABLE: u32 = 18;

/// The version of the protocol, and the flag that asks for an answer.
const VERSION: u32 = 1;
const NEED_REPLY: u32 = 1 << 3;

/// Features that are none of the device's: a log of what is written, and features of the protocol.
const LOG_ALL: u64 = 1 << 26;
const PROTOCOL_FEATURES: u64 = 1 << 30;

/// Features of the protocol: a log in shared memory, and answers to all that asks for one.
const LOG_SHMFD: u64 = 1 << 1;
const REPLY_ACK: u64 = 1 << 3;

/// What is added to an address of the driver, which makes it one of this process, as the protocol wants them.
const USER: u64 = 0x7f00_0000_0000;

/// A front end that is connected.
pub(crate) struct FrontEnd {
    stream: UnixStream,
    features: u64,
    call: OwnedFd,
    kick: OwnedFd,
}

/// Where a ring is, in addresses of the driver.
#[derive(Clone, Copy)]
pub(crate) struct Areas {
    pub(crate) size: u16,
    pub(crate) descriptor: u64,
    pub(crate) driver: u64,
    pub(crate) device: u64,
}

impl FrontEnd {
    /// Connects, and agrees on `features`, on a log, and on `memory`, which the driver knows by the addresses from
    /// `base` on.
    ///
    /// # Errors
    ///
    /// If the back end does not agree.
    pub(crate) fn connect(socket: &Path, features: u64, memory: &File, base: u64) -> Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let [call, kick] = [eventfd(0, EventfdFlags::CLOEXEC)?, eventfd(0, EventfdFlags::CLOEXEC)?];
        let mut front_end = Self { stream, features: features | PROTOCOL_FEATURES, call, kick };
        front_end.offers(GET_FEATURES, front_end.features | LOG_ALL)?;
        front_end.offers(GET_PROTOCOL_FEATURES, LOG_SHMFD | REPLY_ACK)?;
        // Nobody answers before it is said that they are to.
        front_end.send(SET_PROTOCOL_FEATURES, 0, &[LOG_SHMFD | REPLY_ACK], &[])?;
        front_end.set(SET_OWNER, &[], &[])?;
        front_end.set(SET_FEATURES, &[front_end.features], &[])?;
        let region = [1, base, memory.metadata()?.len(), USER + base, 0];
        front_end.set(SET_MEM_TABLE, &region, &[memory.as_fd()])?;
        Ok(front_end)
    }

    /// Sets a new ring up, and lets it run.
    pub(crate) fn start(&mut self, areas: Areas) -> Result<()> {
        self.set(SET_VRING_NUM, &[pair(0, areas.size.into())], &[])?;
        self.set(SET_VRING_ADDR, &addresses(areas, false), &[])?;
        // In a packed ring both sides begin with their wrap counters set.
        let base = if self.features & RING_PACKED == 0 { 0 } else { 0x8000_8000 };
        self.set(SET_VRING_BASE, &[pair(0, base)], &[])?;
        let [call, kick] = [self.call.try_clone()?, self.kick.try_clone()?];
        self.set(SET_VRING_CALL, &[0], &[call.as_fd()])?;
        self.set(SET_VRING_KICK, &[0], &[kick.as_fd()])?;
        self.set(SET_VRING_ENABLE, &[pair(0, 1)], &[])
    }

    /// Asks that all that is written from now on is in a log, while the ring runs.
    pub(crate) fn log(&mut self, areas: Areas, log: &File) -> Result<()> {
        self.send(SET_LOG_BASE, 0, &[log.metadata()?.len(), 0], &[log.as_fd()])?;
        self.receive(SET_LOG_BASE)?;
        self.set(SET_FEATURES, &[self.features | LOG_ALL], &[])?;
        self.set(SET_VRING_ADDR, &addresses(areas, true), &[])
    }

    /// Stops the ring.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.send(GET_VRING_BASE, 0, &[pair(0, 0)], &[])?;
        self.receive(GET_VRING_BASE).map(drop)
    }

    /// Tells the device that there is something to do.
    pub(crate) fn kick(&self) -> Result<()> {
        rustix::io::write(&self.kick, &1_u64.to_ne_bytes())?;
        Ok(())
    }

    /// Waits until the device says that it has done something, or for as long as `patience`.
    pub(crate) fn wait_for_call(&self, patience: Duration) -> Result<()> {
        let patience = Timespec::try_from(patience)?;
        if poll(&mut [PollFd::new(&self.call, PollFlags::IN)], Some(&patience))? == 1 {
            rustix::io::read(&self.call, &mut [0; 8])?;
        }
        Ok(())
    }

    /// Checks that the back end offers all of these features.
    fn offers(&mut self, request: u32, wanted: u64) -> Result<()> {
        self.send(request, 0, &[], &[])?;
        let offered = self.receive(request)?;
        ensure!(
            offered & wanted == wanted,
            "the back end offers {offered:#x} in message {request}, without {wanted:#x}"
        );
        Ok(())
    }

    /// Sets something.
    fn set(&mut self, request: u32, body: &[u64], files: &[BorrowedFd<'_>]) -> Result<()> {
        self.send(request, NEED_REPLY, body, files)?;
        let answer = self.receive(request)?;
        ensure!(answer == 0, "the back end refuses message {request} with {answer}");
        Ok(())
    }

    fn send(&mut self, request: u32, flags: u32, body: &[u64], files: &[BorrowedFd<'_>]) -> Result<()> {
        let len = u32::try_from(size_of_val(body))?;
        let header = [request, VERSION | flags, len].map(u32::to_le_bytes);
        let body: Vec<_> = body.iter().map(|value| value.to_le_bytes()).collect();
        let message = [header.as_flattened(), body.as_flattened()].concat();
        let mut space = [MaybeUninit::uninit(); 64];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            ensure!(control.push(SendAncillaryMessage::ScmRights(files)), "there is room for one file");
        }
        let sent = sendmsg(&self.stream, &[IoSlice::new(&message)], &mut control, SendFlags::NOSIGNAL)?;
        ensure!(sent == message.len(), "the back end takes {sent} of {} bytes", message.len());
        Ok(())
    }

    /// Waits for the answer, and returns the first number in it.
    fn receive(&mut self, request: u32) -> Result<u64> {
        let mut header = [[0; 4]; 3];
        let refused = || format!("the back end does not answer message {request}");
        self.stream.read_exact(header.as_flattened_mut()).with_context(refused)?;
        let [answered, _, len] = header.map(u32::from_le_bytes);
        ensure!(answered == request, "the back end answers message {answered} rather than {request}");
        let mut body = Vec::new();
        (&self.stream).take(len.into()).read_to_end(&mut body)?;
        Ok(body.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
    }
}

/// Returns two numbers of 32 bits as one.
const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

/// Returns where the only ring is. What is written to the Device Area is logged by another address, which says where
/// the driver has it.
fn addresses(areas: Areas, logged: bool) -> [u64; 5] {
    [pair(0, logged.into()), USER + areas.descriptor, USER + areas.device, USER + areas.driver, areas.device]
}
