//! DPDK's driver `net_virtio_user`, under its program `testpmd`, against `vhost-user-net`.

mod bench;
mod case;
mod network;
mod pcap;
mod testpmd;
mod traffic;

use anyhow::Result;

use super::back_end::build;
pub(crate) use bench::bench;
use case::{Case, Format, Traffic, Waiting};
use testpmd::Testpmd;

/// Runs all combinations and prints them as a table, and returns whether all of them passed.
pub(crate) fn run() -> Result<bool> {
    Testpmd::ensure_installed()?;
    let program = build("vhost-user-net")?;
    let mut passed = true;
    for case in cases() {
        passed &= case.run_and_report(&program);
    }
    Ok(passed)
}

/// Returns every traffic in every format, with what else there is to choose as far as it makes a difference.
fn cases() -> impl Iterator<Item = Case> {
    Format::ALL.into_iter().flat_map(|format| {
        let one_pair = [Traffic::Sink, Traffic::Source, Traffic::Loopback].into_iter().flat_map(move |traffic| {
            [false, true].into_iter().flat_map(move |mergeable| {
                let waitings = [Waiting::Kicks, Waiting::Polls];
                waitings.into_iter().map(move |waiting| Case { format, mergeable, waiting, pairs: 1, traffic })
            })
        });
        let others = [
            (Traffic::Sink, 2, Waiting::Kicks),
            (Traffic::RestartedSink, 1, Waiting::Polls),
            (Traffic::RestartedSource, 1, Waiting::Kicks),
            (Traffic::Killed, 1, Waiting::Kicks),
        ];
        let others = others.into_iter();
        one_pair.chain(others.map(move |(traffic, pairs, waiting)| Case {
            format,
            mergeable: true,
            waiting,
            pairs,
            traffic,
        }))
    })
}
