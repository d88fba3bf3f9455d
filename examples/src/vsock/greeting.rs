//! What a program of the host says first: `CONNECT 1234`, and the end of the line.
//!
//! The line is looked at where it waits, and taken when it is complete. So nothing is kept of half a line, and nothing
//! is taken of what comes after it.

use std::io;
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

/// The longest line, with its end.
const MAX_LINE: usize = 32;

/// What a program has said so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// It wants to be connected to this port of the guest.
    Connect(u32),
    /// Not enough.
    Incomplete,
}

impl Greeting {
    /// Looks at what has come from `socket`, and takes the line if all of it is there.
    ///
    /// # Errors
    ///
    /// If it is no such line, or the program is gone.
    pub(super) fn read(socket: &UnixStream) -> io::Result<Self> {
        let mut line = [0; MAX_LINE];
        let len = match recv(socket, &mut line, RecvFlags::PEEK) {
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Self::Incomplete),
            result => result?.0,
        };
        let (line, _) = line.split_at_mut(len.min(MAX_LINE));
        let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
            let ended = line.is_empty() || line.len() == MAX_LINE;
            return if ended { Err(malformed()) } else { Ok(Self::Incomplete) };
        };
        let port = port(line.get(..end).unwrap_or_default()).ok_or_else(malformed)?;
        // What was there to look at is there to be taken.
        let (line, _) = line.split_at_mut(end + 1);
        let (taken, _) = recv(socket, &mut *line, RecvFlags::empty())?;
        if taken == line.len() { Ok(Self::Connect(port)) } else { Err(malformed()) }
    }
}

/// Returns the answer when the guest has accepted.
pub(super) fn answer(host_port: u32) -> String {
    format!("OK {host_port}\n")
}

fn port(line: &[u8]) -> Option<u32> {
    let digits = core::str::from_utf8(line.strip_prefix(b"CONNECT ")?).ok()?;
    // A sign would be read as well.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn malformed() -> io::Error {
    io::Error::other("a program of the host must begin with 'CONNECT', a port number and the end of the line")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn line_is_taken_when_it_is_complete_and_nothing_after_it() {
        let (mut program, socket) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        for part in ["", "CONN", "ECT ", "12", "34"] {
            program.write_all(part.as_bytes()).unwrap();
            assert_eq!(Greeting::read(&socket).unwrap(), Greeting::Incomplete);
        }
        program.write_all(b"\nfirst bytes").unwrap();
        assert_eq!(Greeting::read(&socket).unwrap(), Greeting::Connect(1234));
        let mut rest = [0; 11];
        (&socket).read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"first bytes");
    }

    #[test]
    fn anything_else_is_refused() {
        let lines: [&[u8]; 11] = [
            b"\n",
            b"CONNECT\n",
            b"CONNECT \n",
            b"CONNECT +7\n",
            b"CONNECT -1\n",
            b"CONNECT 7 \n",
            b"CONNECT 7\r\n",
            b"connect 7\n",
            b"CONNECT 4294967296\n",
            b"CONNECT \xff\n",
            b"CONNECT 00000000000000000000000000000007\n",
        ];
        for line in lines {
            let (mut program, socket) = UnixStream::pair().unwrap();
            socket.set_nonblocking(true).unwrap();
            program.write_all(line).unwrap();
            assert!(Greeting::read(&socket).is_err(), "{line:?}");
        }
        let (_, socket) = UnixStream::pair().unwrap();
        assert!(Greeting::read(&socket).is_err());
    }
}
