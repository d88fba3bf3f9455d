//! A guest with a network device.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use anyhow::{Context, Result, ensure};
use rand::Rng;

use super::case::Case;
use super::device::{GuestDevice, Way};
use super::guest::{Guest, PATIENCE};
use super::network::Network;
use super::system::System;
use crate::back_end::BackEnd;
use crate::packets::Report;
use xtask_support::Hash;

/// How many bytes the guest fetches. It sends a third more.
const LEN: usize = 16 << 20;

/// How many bytes guests fetch again and again.
const SHORT_LEN: usize = 1 << 20;

/// What the device is connected to on the host.
pub(super) const TAP: &str = "tap0";
/// The guest knows this address, and has the next one.
pub(super) const ADDRESS: &str = "192.0.2.1/24";
/// CSUM, GUEST_CSUM, and TSO4, TSO6 and ECN of both sides, which a Linux guest accepts if they are offered.
pub(super) const OFFLOADS: u64 = 0b11 | 0b111 << 7 | 0b111 << 11;

/// Every packet is as long as the network allows, and has its checksum.
const NO_OFFLOADS: Way = Way { about: ", no offloads", args: &["--no-offloads"] };

/// The port that the guest fetches from, and the one that it sends to.
const PORTS: [u16; 2] = [7001, 7002];

/// A network with a server in it.
pub(super) struct Interface {
    network: Network,
    /// The hash of what a guest can fetch.
    offered: Hash,
    /// The hashes of what guests have sent.
    sent: Receiver<Hash>,
}

impl GuestDevice for Interface {
    const PROGRAM: &'static str = "vhost-user-net";
    const TASK: &'static str = "net";
    const BUSY_TASK: &'static str = "net_busy";
    const QUEUES: u16 = 2;
    const MULTI_QUEUE: u64 = 1 << 22;
    const WAYS: &'static [Way] = &[
        Way { about: "", args: &[] },
        // The buffers for packets of 64 KiB are as long, then.
        Way { about: ", one buffer", args: &["--no-mergeable"] },
        NO_OFFLOADS,
    ];
    const WAYS_TO_BE_KILLED: &'static [Way] = &[Way { about: "", args: &[] }];

    fn new() -> Result<Self> {
        Self::offering(LEN)
    }

    fn start(&self, program: &Path, queues: u16, way: &Way) -> Result<BackEnd> {
        self.start_at(BackEnd::new_socket(), program, TAP, queues, way.args)
    }

    fn boot(&self, system: &System, case: &Case, back_end: &BackEnd, task: &str) -> Result<Guest> {
        let network = format!("vhost-user,id=network,chardev=socket,queues={}", case.queues);
        let several = if case.queues > 1 { "on" } else { "off" };
        // Without MSI-X: QEMU 7.2 ends with a signal when a vhost-user network device has that without KVM. And without
        // a program to boot over the network, which is in a package of its own.
        let device = format!("virtio-net-pci,netdev=network,mq={several},vectors=0,romfile=");
        Guest::boot(system, case, back_end, task, &device, &["-netdev", &network])
    }

    fn take_part(&mut self, guest: &mut Guest) -> Result<()> {
        for _ in 0..2 {
            ensure!(guest.said("fetched")? == self.offered.to_string(), "the guest has fetched something else");
        }
        let said = guest.said("sent")?;
        let sent = self.sent.recv_timeout(PATIENCE).context("the host got nothing")?;
        ensure!(said == sent.to_string(), "the host got something else than the guest sent");
        Ok(())
    }

    fn check_report(&self, back_end: &mut BackEnd, queues: u16, way: &Way) -> Result<()> {
        let offered = if way.about == NO_OFFLOADS.about { 0 } else { OFFLOADS };
        let mut large = [0; 2];
        for _ in 0..queues {
            let line = back_end.next_line()?;
            let pair = Report::parse(&line).with_context(|| format!("the back end says {line:?}"))?;
            let counts = [pair.transmitted, pair.received];
            ensure!(counts.iter().all(|count| count.packets > 0), "a queue was not used: {line}");
            ensure!(pair.features & OFFLOADS == offered, "{offered:#x} of the offloads were offered: {line}");
            for (large, count) in large.iter_mut().zip(counts) {
                *large += count.large;
            }
        }
        ensure!(large.iter().all(|large| (*large > 0) == (offered > 0)), "{large:?} packets were longer than an MTU");
        Ok(())
    }
}

impl Interface {
    /// Makes a network for guests that fetch the same few bytes, and send them back, again and again.
    pub(super) fn for_workers() -> Result<Self> {
        Self::offering(SHORT_LEN)
    }

    /// Makes a network with a server that offers so many bytes.
    fn offering(len: usize) -> Result<Self> {
        let network = Network::new()?;
        let mut content = vec![0; len];
        rand::rng().fill_bytes(&mut content);
        let offered = Hash::of(content.as_slice())?;
        let [fetch, send] = network.inside(|| {
            let bind = |port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).context("cannot listen");
            Ok([bind(PORTS[0])?, bind(PORTS[1])?])
        })?;
        let content: Arc<[u8]> = content.into();
        serve(fetch, move |connection| {
            // The guest says what it has fetched, or nothing any more.
            let _ = (&connection).write_all(&content);
        });
        let (sender, sent) = mpsc::channel();
        serve(send, move |connection| {
            // Nothing comes to an end from a guest that was killed.
            let _ = Hash::of(connection).map(|hash| sender.send(hash));
        });
        Ok(Self { network, offered, sent })
    }

    /// Starts a back end at `socket` that is connected to the interface `tap` of the network. Where there is more than
    /// one of them, answers go through the oldest that there still is.
    pub(super) fn start_at(
        &self,
        socket: PathBuf,
        program: &Path,
        tap: &str,
        queues: u16,
        more: &[&str],
    ) -> Result<BackEnd> {
        let queues = queues.to_string();
        let args = [&["--mode", "tap", "--tap", tap, "--queues", &queues], more].concat();
        let back_end = self.network.inside(|| BackEnd::start_at(socket, program, &args))?;
        self.network.bring_up(tap, ADDRESS)?;
        Ok(back_end)
    }

    /// Returns the hash of what is offered.
    pub(super) const fn offered(&self) -> &Hash {
        &self.offered
    }

    /// Returns how often guests have sent that back, since this was asked for the last time.
    ///
    /// # Errors
    ///
    /// If one has sent anything else.
    pub(super) fn sent_back(&self) -> Result<u64> {
        self.sent.try_iter().try_fold(0, |count, hash| {
            ensure!(hash == self.offered, "the host got something else than it had offered to the guest");
            Ok(count + 1)
        })
    }
}

/// Calls `answer` with each connection, on threads that end with this process.
fn serve(listener: TcpListener, answer: impl Fn(TcpStream) + Send + Sync + 'static) {
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            thread::spawn(move || answer(connection));
        }
    });
}
