//! A guest with sockets to the host.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::{env, process, thread};

use anyhow::{Context, Result, ensure};
use rand::Rng;
use xtask_guest::{CONNECTIONS, Exchanged, GUEST_PORT, HOST_PORTS, LEN, content};

use super::case::Case;
use super::device::{GuestDevice, Way};
use super::guest::{Guest, PATIENCE};
use super::system::System;
use crate::back_end::BackEnd;

/// Programs of the host, which talk to those of the guest.
pub(super) struct Sockets {
    path: PathBuf,
    random: Arc<[u8]>,
    exchanged: Receiver<Exchanged>,
    sender: Sender<Exchanged>,
}

impl GuestDevice for Sockets {
    const PROGRAM: &'static str = "vhost-user-vsock";
    const TASK: &'static str = "vsock";
    const BUSY_TASK: &'static str = "vsock_busy";
    const QUEUES: u16 = 1;
    const MULTI_QUEUE: u64 = 0;

    fn new() -> Result<Self> {
        let path = env::temp_dir().join(format!("virtio-xtask-vsock-{}", process::id()));
        let mut random = vec![0; LEN];
        rand::rng().fill_bytes(&mut random);
        let (sender, exchanged) = mpsc::channel();
        let sockets = Self { path, random: random.into(), exchanged, sender };
        let [counted, uncounted] = HOST_PORTS;
        sockets.serve(counted, Some(&sockets.sender))?;
        sockets.serve(uncounted, None)?;
        Ok(sockets)
    }

    fn start(&self, program: &Path, _queues: u16, _way: &Way) -> Result<BackEnd> {
        BackEnd::start(program, &["--guest-cid", "3", "--uds-path", &self.path.to_string_lossy()])
    }

    fn boot(&self, system: &System, case: &Case, back_end: &BackEnd, task: &str) -> Result<Guest> {
        // An interrupt for each queue and one for the configuration.
        Guest::boot(system, case, back_end, task, "vhost-user-vsock-pci,chardev=socket,vectors=4", &[])
    }

    /// Takes part before and after the guest's driver has lost the device.
    fn take_part(&mut self, guest: &mut Guest) -> Result<()> {
        (0..2).try_for_each(|_| self.exchange(guest))
    }

    fn check_report(&self, back_end: &mut BackEnd, _queues: u16, _way: &Way) -> Result<()> {
        let (report, connections) = (back_end.next_line()?, 2 * CONNECTIONS);
        ensure!(
            report.contains(&format!("the host: {connections} connections, ")),
            "the back end has others: {report}"
        );
        ensure!(report.ends_with(", 0 malformed"), "the back end was sent malformed packets: {report}");
        Ok(())
    }
}

impl Sockets {
    /// Opens connections to the guest, while the guest opens connections to the host.
    fn exchange(&self, guest: &mut Guest) -> Result<()> {
        guest.said("listening")?;
        for index in 0..CONNECTIONS {
            let (path, sender) = (self.path.clone(), self.sender.clone());
            let content = content(&self.random, index);
            thread::spawn(move || {
                // The other side waits if this one fails.
                let _ = dial(&path).and_then(|program| Ok(sender.send(go_through(&program, &content)?)));
            });
        }
        let (received, sent) = (guest.said("fetched")?, guest.said("sent")?);
        let mut all = Exchanged::default();
        for _ in 0..2 * CONNECTIONS {
            all.add(self.exchanged.recv_timeout(PATIENCE).context("a connection has not come to its end")?);
        }
        ensure!(received == all.sent()?.to_string(), "the guest got something else than the host sent");
        ensure!(sent == all.received()?.to_string(), "the host got something else than the guest sent");
        Ok(())
    }

    /// Listens for connections of the guest to `port`, on threads that end with this process.
    fn serve(&self, port: u32, sender: Option<&Sender<Exchanged>>) -> Result<()> {
        let listener = UnixListener::bind(self.socket(port)).context("cannot listen")?;
        let (random, sender) = (Arc::clone(&self.random), sender.cloned());
        thread::spawn(move || {
            for (index, program) in (CONNECTIONS..).zip(listener.incoming().map_while(Result::ok)) {
                let (content, sender) = (content(&random, index), sender.clone());
                thread::spawn(move || {
                    // Nothing comes to an end with a guest that is killed.
                    if let (Ok(exchanged), Some(sender)) = (go_through(&program, &content), sender) {
                        let _ = sender.send(exchanged);
                    }
                });
            }
        });
        Ok(())
    }

    fn socket(&self, port: u32) -> PathBuf {
        PathBuf::from(format!("{}_{port}", self.path.display()))
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for path in HOST_PORTS.map(|port| self.socket(port)).iter().chain([&self.path]) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Connects to the guest.
fn dial(path: &Path) -> Result<UnixStream> {
    let mut program = UnixStream::connect(path)?;
    writeln!(program, "CONNECT {GUEST_PORT}")?;
    let mut answer = Vec::new();
    while answer.last() != Some(&b'\n') {
        let mut byte = [0];
        program.read_exact(&mut byte).context("the guest does not accept")?;
        answer.extend(byte);
    }
    ensure!(answer.starts_with(b"OK "), "the answer is '{}'", String::from_utf8_lossy(&answer));
    Ok(program)
}

fn go_through(program: &UnixStream, content: &[u8]) -> std::io::Result<Exchanged> {
    Exchanged::through(program, program, content, |program| program.shutdown(Shutdown::Write))
}
