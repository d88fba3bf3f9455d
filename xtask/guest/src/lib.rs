//! What guest and host do at both ends of a socket.

use std::io::{self, Read, Write};
use std::thread;

use xtask_support::Hash;

/// The port of the host that takes part in what a guest counts, and the one that it uses until it is killed.
pub const HOST_PORTS: [u32; 2] = [7001, 7003];

/// The port of the guest.
pub const GUEST_PORT: u32 = 7002;

/// How many connections each side opens.
pub const CONNECTIONS: usize = 25;

/// How many bytes go through a connection, in each direction.
pub const LEN: usize = 1 << 19;

/// The hashes of what was sent and received.
#[derive(Debug, Default)]
pub struct Exchanged {
    /// What was sent, through each connection.
    sent: Vec<String>,
    /// What was received.
    received: Vec<String>,
}

impl Exchanged {
    /// Sends and receives through one connection at the same time, until the other side ends it. `end` says to the
    /// other side that no more is sent.
    ///
    /// # Errors
    ///
    /// If the connection does not come to such an end.
    pub fn through<W: Write + Send>(
        reader: impl Read,
        mut writer: W,
        content: &[u8],
        end: impl FnOnce(&W) -> io::Result<()> + Send,
    ) -> io::Result<Self> {
        thread::scope(|scope| {
            let sender = scope.spawn(move || {
                writer.write_all(content)?;
                end(&writer)?;
                // The connection is there until both directions have ended.
                Ok::<_, io::Error>(writer)
            });
            let received = Hash::of(reader)?;
            sender.join().map_err(|_| io::Error::other("a panic of a sender"))??;
            Ok(Self { sent: vec![Hash::of(content)?.to_string()], received: vec![received.to_string()] })
        })
    }

    /// Adds what went through other connections.
    pub fn add(&mut self, other: Self) {
        self.sent.extend(other.sent);
        self.received.extend(other.received);
    }

    /// Returns a hash of all hashes of what was sent, in no order.
    ///
    /// # Errors
    ///
    /// None: the hashes are in memory.
    pub fn sent(&self) -> io::Result<Hash> {
        hash_all(&self.sent)
    }

    /// Returns a hash of all hashes of what was received, in no order.
    ///
    /// # Errors
    ///
    /// None: the hashes are in memory.
    pub fn received(&self) -> io::Result<Hash> {
        hash_all(&self.received)
    }
}

fn hash_all(hashes: &[String]) -> io::Result<Hash> {
    let mut hashes = hashes.to_vec();
    hashes.sort_unstable();
    Hash::of(hashes.concat().as_bytes())
}

/// Returns content that no other connection has.
#[must_use]
pub fn content(random: &[u8], index: usize) -> Vec<u8> {
    [&index.to_le_bytes(), random].concat()
}
