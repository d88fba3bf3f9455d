//! One TCP flow between the guest and the host, until the host ends the connection.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use anyhow::Result;

/// How many bytes are sent or received at a time, at most.
const CHUNK: usize = 256 << 10;

/// Connects to the host, and sends.
pub(crate) fn send(address: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let chunk = vec![0; CHUNK];
    loop {
        match stream.write_all(&chunk) {
            Ok(()) => {}
            // The host has not received all of it.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Connects to the host, and receives.
pub(crate) fn receive(address: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let mut chunk = vec![0; CHUNK];
    while stream.read(&mut chunk)? > 0 {}
    Ok(())
}
