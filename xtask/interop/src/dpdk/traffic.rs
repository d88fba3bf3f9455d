//! What driver and device send each other, and how that is checked.

#![expect(clippy::indexing_slicing, reason = "there are as many")]

use std::mem;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::super::matrix::Row;
use super::case::{Case, QUEUE_SIZE, Traffic};
use super::pcap;
use super::testpmd::Testpmd;
use crate::packets::Report;

/// The lengths of frames.
const LENGTHS: [usize; 5] = [64, 65, 576, 1280, 1518];

/// How many packets there are of a length.
const PACKETS: u64 = 10_000;

/// How many there are in a file.
const FILE: usize = 10_000;

/// How often queues are stopped and started, and programs killed.
const RESTARTS: u64 = 10;

impl Case {
    /// Runs it and prints its line, and returns whether it passed.
    pub(super) fn run_and_report(&self, program: &Path) -> bool {
        let outcome = self.run(program).and_then(|report| self.check(&report).map(|()| report));
        let features = outcome.as_ref().map_or_else(|_| self.features(), |report| report.features);
        let row = Row { driver: "testpmd", device: "vhost-user-net", features, about: self.about() };
        row.report(&outcome.map(|report| report.transmitted.packets + report.received.packets))
    }

    /// Runs it, and returns what the device has done.
    fn run(&self, program: &Path) -> Result<Report> {
        match self.traffic {
            Traffic::Sink => sink(self, program),
            Traffic::Source => source(self, program),
            Traffic::Loopback => loopback(self, program),
            Traffic::RestartedSink => restarted_sink(self, program),
            Traffic::RestartedSource => restarted_source(self, program),
            Traffic::Killed => killed(self, program),
        }
    }
}

/// The device sees the headers of every packet, and counts as many packets and bytes as the driver.
fn sink(case: &Case, program: &Path) -> Result<Report> {
    let mut network = case.back_end(program, &["--mode", "sink"])?;
    let mut testpmd = case.testpmd(network.back_end.socket(), &[], &["--forward-mode=txonly"])?;
    for len in LENGTHS {
        testpmd.command(&format!("set txpkts {}", case.pieces(len)))?;
        let before = testpmd.stats(0)?;
        testpmd.command("start")?;
        testpmd.wait_for(0, |now| now.transmitted >= before.transmitted + PACKETS)?;
        testpmd.command("stop")?;
        let sent = testpmd.stats(0)?;
        let seen = network.wait_for(|report| report.transmitted.packets >= sent.transmitted)?.transmitted;
        ensure!((seen.packets, seen.bytes) == (sent.transmitted, sent.transmitted_bytes), "{seen:?} of {sent:?}");
    }
    testpmd.quit()?;
    network.last_report()
}

/// What comes into the file is what the device is said to send, in its order, and the device has counted as much.
fn source(case: &Case, program: &Path) -> Result<Report> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("received");
    let mut total = Report::default();
    for len in LENGTHS {
        let [size, packets] = [len as u64, PACKETS].map(|number| number.to_string());
        let args = ["--mode", "source", "--packet-size", &size, "--packets", &packets];
        let network = case.back_end(program, &args)?;
        let writer = format!("net_pcap0,tx_pcap={}", file.display());
        let mut testpmd = case.testpmd(network.back_end.socket(), &[writer], &["--forward-mode=io"])?;
        testpmd.command("start")?;
        testpmd.wait_for(1, |now| now.transmitted >= PACKETS)?;
        testpmd.command("stop")?;
        testpmd.quit()?;
        let numbers = numbers(&pcap::read(&file)?, len)?;
        ensure!(numbers.into_iter().eq(0..PACKETS), "packets are missing or out of order");
        let report = network.last_report()?;
        ensure!(report.received.packets == PACKETS, "the device has counted {:?}", report.received);
        total.add(&report);
    }
    Ok(total)
}

/// What comes into one file is what was in the other, in its order.
fn loopback(case: &Case, program: &Path) -> Result<Report> {
    let directory = tempfile::tempdir()?;
    let [sent, received] = ["sent", "received"].map(|name| directory.path().join(name));
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let packets = pcap::random(FILE, LENGTHS[0]..=LENGTHS[LENGTHS.len() - 1], &mut rng);
    pcap::write(&sent, &packets)?;
    let network = case.back_end(program, &["--mode", "loopback"])?;
    let files = format!("net_pcap0,rx_pcap={},tx_pcap={}", sent.display(), received.display());
    // There and back, each has a thread: neither waits for the other.
    let mut testpmd = case.testpmd(network.back_end.socket(), &[files], &["--forward-mode=io", "--nb-cores=2"])?;
    // Rather than to drop a packet for which there is no room at once, it tries again for a second or so.
    testpmd.command("set fwd io retry")?;
    testpmd.command("set burst tx delay 10 retry 100000")?;
    testpmd.command("start")?;
    testpmd.wait_for(1, |now| now.transmitted >= packets.len() as u64)?;
    testpmd.command("stop")?;
    testpmd.quit()?;
    ensure!(pcap::read(&received)? == packets, "what came back was not sent");
    let report = network.last_report()?;
    let bytes = packets.iter().map(|packet| packet.len() as u64).sum();
    for count in [report.transmitted, report.received] {
        ensure!((count.packets, count.bytes) == (packets.len() as u64, bytes), "the device has counted {count:?}");
    }
    Ok(report)
}

/// What the driver had made available when the queue was stopped may be lost each time, and nothing else.
fn restarted_sink(case: &Case, program: &Path) -> Result<Report> {
    let mut network = case.back_end(program, &["--mode", "sink"])?;
    let mut testpmd = case.testpmd(network.back_end.socket(), &[], &["--forward-mode=txonly"])?;
    restart(&mut testpmd, |testpmd| {
        let before = testpmd.stats(0)?;
        testpmd.wait_for(0, |now| now.transmitted >= before.transmitted + PACKETS).map(drop)
    })?;
    let sent = testpmd.stats(0)?.transmitted;
    let report = network.wait_for(|report| report.transmitted.packets + RESTARTS * u64::from(QUEUE_SIZE) >= sent)?;
    ensure!(report.transmitted.packets <= sent, "the device has seen more than was sent: {report:?}");
    testpmd.quit()?;
    network.last_report()
}

/// What the device had sent when the queue was stopped may be lost each time, and nothing else.
fn restarted_source(case: &Case, program: &Path) -> Result<Report> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("received");
    let network = case.back_end(program, &["--mode", "source"])?;
    let writer = format!("net_pcap0,tx_pcap={}", file.display());
    let mut testpmd = case.testpmd(network.back_end.socket(), &[writer], &["--forward-mode=io"])?;
    restart(&mut testpmd, |testpmd| {
        let before = testpmd.stats(1)?;
        testpmd.wait_for(1, |now| now.transmitted >= before.transmitted + PACKETS).map(drop)
    })?;
    testpmd.quit()?;
    let report = network.last_report()?;
    let numbers = numbers(&pcap::read(&file)?, 64)?;
    ensure!(numbers.is_sorted_by(|one, next| one < next), "packets came twice or out of order");
    let lost = report.received.packets.checked_sub(numbers.len() as u64).context("the device has sent fewer")?;
    ensure!(lost <= (RESTARTS + 1) * u64::from(QUEUE_SIZE), "{lost} packets were lost");
    Ok(report)
}

/// Forwards packets again and again until `wait` returns, and stops and starts the queues each time after that.
fn restart(testpmd: &mut Testpmd, wait: impl Fn(&mut Testpmd) -> Result<()>) -> Result<()> {
    for _ in 0..RESTARTS {
        testpmd.command("start")?;
        wait(testpmd)?;
        // The device goes on with its queues until these are stopped.
        testpmd.command("stop")?;
        testpmd.command("port stop 0")?;
        testpmd.command("port start 0")?;
    }
    testpmd.command("start")?;
    wait(testpmd)?;
    testpmd.command("stop").map(drop)
}

/// The back end goes on with the next driver, counts its packets as well, and keeps nothing of those before.
fn killed(case: &Case, program: &Path) -> Result<Report> {
    let mut network = case.back_end(program, &["--mode", "loopback"])?;
    let at_rest = network.at_rest()?;
    let mut total = Report::default();
    for _ in 0..RESTARTS {
        // What comes back is sent again. It is of the least length.
        let mut testpmd = case.testpmd(network.back_end.socket(), &[], &["--forward-mode=io"])?;
        testpmd.command("start tx_first")?;
        let seen = testpmd.wait_for(0, |now| now.transmitted >= PACKETS)?;
        drop(testpmd);
        let before = mem::replace(&mut total, network.next_report()?);
        let [taken, given] = [total.transmitted.since(before.transmitted), total.received.since(before.received)];
        // What was in a queue at the end, nobody has taken.
        for (count, least) in [(taken, seen.transmitted - u64::from(QUEUE_SIZE)), (given, seen.received)] {
            let sound = count.errors == 0 && count.bytes == count.packets * LENGTHS[0] as u64;
            ensure!(sound && count.packets >= least, "the device has counted {count:?}, and the driver {seen:?}");
        }
        ensure!(
            0 < given.packets && given.packets <= taken.packets,
            "the device has given back {given:?} of {taken:?}"
        );
        network.comes_to(&at_rest)?;
    }
    Ok(total)
}

/// Returns the numbers of packets that a source has sent, if they are `len` bytes long and there is nothing else wrong.
fn numbers(packets: &[Vec<u8>], len: usize) -> Result<Vec<u64>> {
    packets
        .iter()
        .map(|packet| number(packet, len).with_context(|| format!("a source sends no {packet:02x?}")))
        .collect()
}

/// Returns the number of a packet from 198.18.1.0 to 198.18.0.1, both at UDP port 9, with its number as the beginning
/// of the payload and the rest of it counting up.
fn number(packet: &[u8], len: usize) -> Option<u64> {
    let (headers, payload) = packet.split_at_checked(42)?;
    let (number, rest) = payload.split_first_chunk()?;
    let [ip_len, udp_len] = [14, 34].map(|before| u16::try_from(len - before).unwrap_or_default().to_be_bytes());
    let ethernet = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 0], &[8, 0]].concat();
    let ip = [&[0x45, 0], &ip_len[..], &[0, 0, 0, 0, 64, 17]].concat();
    let addresses = [198, 18, 1, 0, 198, 18, 0, 1];
    let udp = [&[0, 9, 0, 9], &udp_len[..], &[0, 0]].concat();
    let rest_counts = rest.iter().copied().eq((50..len).map(|place| place.to_le_bytes()[0]));
    // Between the two parts of the IP header there is its checksum, which the sum over all of it takes in.
    let headers_are =
        headers.starts_with(&[&ethernet[..], &ip].concat()) && headers.ends_with(&[&addresses[..], &udp].concat());
    let sound = headers.get(14..34).is_some_and(|ip| internet_sum(ip) == 0xffff);
    (packet.len() == len && headers_are && sound && rest_counts).then(|| u64::from_be_bytes(*number))
}

/// Returns the ones' complement sum of the words in `bytes`.
fn internet_sum(bytes: &[u8]) -> u32 {
    let sum: u32 = bytes.chunks(2).map(|word| word.iter().fold(0, |word, byte| word << 8 | u32::from(*byte))).sum();
    (sum & 0xffff) + (sum >> 16)
}
