//! A connection with its socket.

use std::io;
use std::os::unix::net::UnixStream;

use virtio_chain::{Reader, TransferCause, TransferFailed, Writer};
use virtio_queue_core::ChainElements;

use super::backlog::Backlog;
use super::connection::{Connection, Outgoing};
use super::greeting;
use super::host::Change;
use super::packet::Ends;
use super::stream::{Moved, Stream};

/// A connection, its socket, and the bytes of the guest that the socket did not take.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) connection: Connection,
    pub(super) opened_by: Side,
    pub(super) stream: Stream,
    backlog: Backlog,
    /// Whether the socket was readable when it was looked at last.
    readable: bool,
    /// Whether the program is gone. What it has sent can still be read.
    gone: bool,
    /// Whether the connection waits for its turn to send a packet.
    pub(super) queued: bool,
    /// Whether the guest has forgotten the connection, and only the backlog is left.
    pub(super) lingers: bool,
    /// Whether somebody waits until there is room in the socket.
    pub(super) watches_output: bool,
}

/// Who has asked for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Guest,
    Host,
}

/// The error of a connection that cannot go on: bytes are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost;

impl From<io::Error> for Lost {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Link {
    /// Joins a connection with a socket that does not block.
    pub(super) fn new(connection: Connection, opened_by: Side, socket: UnixStream, change: Change) -> Self {
        let Change { readable, gone, .. } = change;
        let (stream, backlog) = (Stream::new(socket), Backlog::default());
        let (queued, lingers, watches_output) = (false, false, false);
        Self { connection, opened_by, stream, backlog, readable, gone, queued, lingers, watches_output }
    }

    /// Returns the next packet for the guest, if there seems to be one.
    pub(super) fn next_packet(&self) -> Option<Outgoing> {
        if self.lingers { None } else { self.connection.next_packet(self.readable) }
    }

    /// Returns whether there are bytes that the socket did not take.
    pub(super) const fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Tells the program on the host that the guest has accepted.
    pub(super) fn answer(&self) -> Result<(), Lost> {
        let line = greeting::answer(self.connection.address().host_port);
        // It is the first thing that is written, so that there is room for it.
        match self.stream.write_bytes(line.as_bytes())? {
            Moved::Bytes(len) if len == line.len() => Ok(()),
            _ => Err(Lost),
        }
    }

    /// Takes note of what has changed at the socket.
    pub(super) fn changed(&mut self, change: Change) -> Result<(), Lost> {
        self.readable |= change.readable;
        self.gone |= change.gone;
        // Otherwise, there can be bytes of the program that were not read yet.
        if self.gone && (self.connection.host_ends().send || self.connection.guest_ends().receive) {
            self.connection.host_has_ended(Ends::BOTH);
        }
        if change.writable { self.flush() } else { Ok(()) }
    }
}

/// From the guest to the host.
impl Link {
    /// Moves the next `len` bytes of `payload` to the socket, and keeps those that it does not take.
    pub(super) fn take(&mut self, payload: &mut Reader<impl ChainElements>, len: u32) -> Result<(), Lost> {
        let mut left = len;
        if self.backlog.is_empty() && !self.connection.host_ends().receive {
            left -= self.write(payload, len)?;
        }
        if self.connection.host_ends().receive {
            // Nobody takes them. The guest learns that.
            self.connection.forwarded(left);
            return Ok(());
        }
        while left > 0 {
            let room = self.backlog.room();
            let (room, _) = room.split_at_mut(room.len().min(left as usize));
            match payload.read(room).map_err(|_| Lost)? {
                // The packet is shorter than it says.
                0 => return Err(Lost),
                count => {
                    self.backlog.put(count);
                    left = left.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
                }
            }
        }
        Ok(())
    }

    /// Moves up to `len` bytes of `payload` to the socket, and returns how many.
    fn write(&mut self, payload: &mut Reader<impl ChainElements>, len: u32) -> Result<u32, Lost> {
        let (stream, mut last) = (&self.stream, None);
        let moved = payload.transfer(len.into(), |pieces| {
            // SAFETY: (1) the chain is borrowed, so that its memory is there until this returns; it was translated to
            // be read.
            count(unsafe { stream.write(pieces) }, &mut last)
        });
        let moved = u32::try_from(moved.map_err(|_| Lost)?).map_err(|_| Lost)?;
        self.connection.forwarded(moved);
        if last == Some(Moved::Never) {
            self.connection.host_has_ended(Ends::RECEIVE);
        }
        Ok(moved)
    }

    /// Moves kept bytes to the socket, as far as it takes them.
    fn flush(&mut self) -> Result<(), Lost> {
        let had_any = self.has_backlog();
        while self.has_backlog() {
            match self.stream.write_bytes(self.backlog.front())? {
                Moved::Bytes(len) => {
                    self.backlog.take(len);
                    self.connection.forwarded(u32::try_from(len).unwrap_or(u32::MAX));
                }
                Moved::Later => return Ok(()),
                Moved::Never => {
                    self.backlog = Backlog::default();
                    self.connection.forwarded(self.connection.kept());
                    self.connection.host_has_ended(Ends::RECEIVE);
                }
            }
        }
        if had_any {
            self.connection.caught_up();
            self.end();
        }
        Ok(())
    }

    /// Ends for the program on the host what the guest has ended, as far as it has taken all bytes.
    pub(super) fn end(&self) {
        let guest = self.connection.guest_ends();
        self.stream.end(Ends { send: guest.send && !self.has_backlog(), ..guest });
    }
}

/// From the host to the guest.
impl Link {
    /// Moves up to `limit` bytes of the socket to `payload`, and returns how many. If there were none although there is
    /// room for some, the [next packet](Self::next_packet) is another one.
    pub(super) fn fill(&mut self, payload: &mut Writer<impl ChainElements>, limit: u32) -> Result<u32, Lost> {
        let (stream, mut last) = (&self.stream, None);
        let moved = payload.transfer(limit.into(), |pieces| {
            // SAFETY: (1) the chain is borrowed, so that its memory is there until this returns; it was translated to
            // be written.
            count(unsafe { stream.read(pieces) }, &mut last)
        });
        match last {
            Some(Moved::Later) => self.readable = false,
            Some(Moved::Never) if self.gone => self.connection.host_has_ended(Ends::BOTH),
            Some(Moved::Never) => self.connection.host_has_ended(Ends::SEND),
            Some(Moved::Bytes(_)) | None => {}
        }
        let moved = match moved {
            Err(TransferFailed { moved: 0, cause: TransferCause::Work(_) }) => return Err(Lost),
            // Bytes that were moved before an error come first. The driver is at fault for a malformed chain.
            Err(failed) => failed.moved,
            Ok(moved) => moved,
        };
        u32::try_from(moved).map_err(|_| Lost)
    }
}

/// Returns how many bytes were moved, and takes note of what `last` became of them.
fn count(moved: io::Result<Moved>, last: &mut Option<Moved>) -> io::Result<usize> {
    let moved = *last.insert(moved?);
    Ok(if let Moved::Bytes(len) = moved { len } else { 0 })
}
