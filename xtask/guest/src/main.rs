//! A program for a Linux guest without libraries: the guest's side of sockets of the family `AF_VSOCK`, and of TCP.
//!
//! What is meant for the host is in lines with a mark.

mod flow;

use core::iter;
use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::net::Shutdown;
use std::thread;

use anyhow::{Result, anyhow, bail};
use vsock::{VMADDR_CID_ANY, VMADDR_CID_HOST, VsockListener, VsockStream};
use xtask_guest::{CONNECTIONS, Exchanged, GUEST_PORT, HOST_PORTS, LEN, content};

fn main() -> Result<()> {
    let args: Vec<_> = env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["exchange"] => exchange(&random()?),
        ["busy"] => be_busy(&random()?),
        ["send", address] => flow::send(address),
        ["receive", address] => flow::receive(address),
        _ => bail!("the arguments must be 'exchange', 'busy', 'send ADDRESS' or 'receive ADDRESS'"),
    }
}

fn random() -> Result<Vec<u8>> {
    let mut random = vec![0; LEN];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(random)
}

/// Opens connections to the host, while the host opens connections to the guest.
fn exchange(random: &[u8]) -> Result<()> {
    let listener = VsockListener::bind_with_cid_port(VMADDR_CID_ANY, GUEST_PORT)?;
    println!("@@ listening");
    let accept = || Ok(listener.accept()?.0);
    let connect = || VsockStream::connect_with_cid_port(VMADDR_CID_HOST, HOST_PORTS[0]);
    let all = thread::scope(|scope| {
        let mut threads = Vec::new();
        for index in 0..2 * CONNECTIONS {
            let through = move || {
                let stream = if index % 2 == 0 { accept() } else { connect() }?;
                go_through(&stream, &content(random, index))
            };
            threads.push(scope.spawn(through));
        }
        threads.into_iter().try_fold(Exchanged::default(), |mut all, thread| {
            all.add(thread.join().map_err(|_| anyhow!("a panic"))??);
            Ok::<_, anyhow::Error>(all)
        })
    })?;
    println!("@@ fetched {}", all.received()?);
    println!("@@ sent {}", all.sent()?);
    Ok(())
}

/// Uses connections until the guest is killed.
fn be_busy(random: &[u8]) -> Result<()> {
    let through = |index| {
        let stream = VsockStream::connect_with_cid_port(VMADDR_CID_HOST, HOST_PORTS[1])?;
        go_through(&stream, &content(random, index))
    };
    through(0)?;
    println!("@@ busy");
    thread::scope(|scope| {
        let threads: Vec<_> =
            iter::repeat_with(|| scope.spawn(|| (1..).try_for_each(|index| through(index).map(drop))))
                .take(8)
                .collect();
        threads.into_iter().try_for_each(|thread| Ok(thread.join().map_err(|_| anyhow!("a panic"))??))
    })
}

fn go_through(stream: &VsockStream, content: &[u8]) -> io::Result<Exchanged> {
    Exchanged::through(stream, stream, content, |stream| stream.shutdown(Shutdown::Write))
}
