//! What the crate that understands all other messages does not.
//!
//! The crate `vhost` refuses three messages that the vhost-user text has. They are SET_LOG_FD, SEND_RARP, and
//! SET_VRING_ENABLE if it comes too early. QEMU 7.2 enables the rings of a network device before it says which features
//! it accepts, and not again afterwards. It may: that rings can be enabled follows from what the back end offered.

use core::mem::MaybeUninit;
use std::fs::File;
use std::io::{self, IoSliceMut, Read, Write};
use std::os::unix::net::UnixStream;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recv, recvmsg};
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The version of the protocol, and that this is an answer.
const ANSWER: u32 = 1 | 1 << 2;
const NEEDS_ANSWER: u32 = 1 << 3;

/// The message `SET_LOG_FD`, with its file.
#[derive(Debug)]
pub(crate) struct SetLogFd {
    header: Header,
    pub(crate) file: Option<File>,
}

/// What each message begins with.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    request: U32,
    flags: U32,
    /// How many bytes come after it.
    len: U32,
}

impl SetLogFd {
    const REQUEST: u32 = 7;

    /// Waits for the next message, and takes it from the connection if it is this one.
    pub(crate) fn take(connection: &UnixStream) -> io::Result<Option<Self>> {
        let mut header = Header::new_zeroed();
        let (_, len) = recv(connection, header.as_mut_bytes(), RecvFlags::PEEK)?;
        if len < size_of::<Header>() || header.request != Self::REQUEST || header.len != 0 {
            return Ok(None);
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let bytes = &mut [IoSliceMut::new(header.as_mut_bytes())];
        recvmsg(connection, bytes, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        let files = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        Ok(Some(Self { header, file: files.flatten().next().map(File::from) }))
    }

    /// Says whether it was done, if that was asked for.
    pub(crate) fn answer(&self, mut connection: &UnixStream, done: bool) -> io::Result<()> {
        if self.header.flags.get() & NEEDS_ANSWER == 0 {
            return Ok(());
        }
        let header = Header { flags: ANSWER.into(), len: 8.into(), ..self.header };
        connection.write_all(&[header.as_bytes(), &u64::from(!done).to_le_bytes()].concat())
    }
}

/// The message `SEND_RARP`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct SendRarp {
    header: Header,
    /// The hardware address of the guest.
    pub(crate) address: [u8; 6],
    _rest: [u8; 2],
}

impl SendRarp {
    const REQUEST: u32 = 19;
    const LEN: u32 = 8;

    /// Waits for the next message, and takes it from the connection if it is this one.
    pub(crate) fn take(mut connection: &UnixStream) -> io::Result<Option<Self>> {
        let mut message = Self::new_zeroed();
        // As for SET_VRING_ENABLE.
        let (_, len) = recv(connection, message.as_mut_bytes(), RecvFlags::PEEK)?;
        if len < size_of::<Self>() || message.header.request != Self::REQUEST || message.header.len != Self::LEN {
            return Ok(None);
        }
        connection.read_exact(message.as_mut_bytes())?;
        Ok(Some(message))
    }

    /// Says that it was done, if that was asked for.
    pub(crate) fn answer(&self, mut connection: &UnixStream) -> io::Result<()> {
        if self.header.flags.get() & NEEDS_ANSWER == 0 {
            return Ok(());
        }
        let header = Header { flags: ANSWER.into(), ..self.header };
        connection.write_all(&[header.as_bytes(), &[0; 8]].concat())
    }
}

/// The message `SET_VRING_ENABLE`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Enable {
    request: U32,
    flags: U32,
    /// How many bytes come after it.
    len: U32,
    /// Which ring is meant.
    pub(crate) index: U32,
    /// 1 to enable it, 0 not to.
    pub(crate) enabled: U32,
}

impl Enable {
    const REQUEST: u32 = 18;
    const LEN: u32 = 8;
    /// Waits for the next message, and takes it from the connection if it is this one.
    pub(crate) fn take(mut connection: &UnixStream) -> io::Result<Option<Self>> {
        let mut message = Self::new_zeroed();
        // QEMU sends a message as a whole, so that there is no need to wait for the rest of one.
        let (_, len) = recv(connection, message.as_mut_bytes(), RecvFlags::PEEK)?;
        if len < size_of::<Self>() || message.request != Self::REQUEST || message.len != Self::LEN {
            return Ok(None);
        }
        connection.read_exact(message.as_mut_bytes())?;
        Ok(Some(message))
    }

    /// Says whether it was done, if that was asked for.
    pub(crate) fn answer(&self, mut connection: &UnixStream, done: bool) -> io::Result<()> {
        if self.flags.get() & NEEDS_ANSWER == 0 {
            return Ok(());
        }
        // A number of 64 bits, which is not 0 if something is wrong.
        let answer = Self { flags: ANSWER.into(), index: u32::from(!done).into(), enabled: 0.into(), ..*self };
        connection.write_all(answer.as_bytes())
    }
}
