//! `cargo xtask interop`: the example devices against drivers that this project did not write.

#![expect(clippy::std_instead_of_alloc, clippy::std_instead_of_core, reason = "it runs where there is a terminal")]

mod back_end;
mod bench;
mod bound;
mod comparison;
mod dirty_log;
mod disk;
mod dpdk;
mod extent;
mod front_end;
mod linux;
mod matrix;
mod output;
mod packets;
mod peer;
mod places;
mod targets;
mod virtio_driver;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use xtask_report::{Kind, Name, Report};

use extent::Extent;

/// What all reports about whole devices have in common.
const KIND: Kind = Kind {
    title: "virtio devices in Rust: whole devices",
    legend: "Two back ends serve the same driver in turns, each time as new processes: ours in blue, and another in \
             green. A bar is the median of the rounds; the whisker reaches from quartile to quartile.",
    targets: targets::TARGETS,
    more: tables,
    docs: "cargo xtask interop --bench --docs",
};

/// What a driver is called, and what it is.
const DRIVERS: [(&str, &str); 6] = [
    ("virtio-driver", "vhost-user-blk against libblkio's driver, the crate virtio-driver, over a socket"),
    ("linux", "vhost-user-blk, -net, -rng and -vsock against the drivers of a Linux guest under QEMU"),
    ("dpdk", "vhost-user-net against DPDK's virtio-user, under testpmd"),
    ("recovery", "vhost-user-blk, -net and -rng, killed and started again while a Linux guest works"),
    ("migration", "vhost-user-blk and -net, while a Linux guest goes from one QEMU to another"),
    ("hotplug", "vhost-user-blk and -net, while memory comes and goes, and a Linux guest or its drivers are reset"),
];

/// Run the example devices against real drivers
#[derive(Parser)]
#[command(bin_name = "cargo xtask interop")]
struct Args {
    /// Against these drivers only
    #[arg(value_parser = DRIVERS.map(|(name, _)| name))]
    names: Vec<String>,
    /// List the drivers
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    extent: Extent,
    /// Measure how fast the devices are, next to other back ends with the same drivers
    #[arg(long)]
    bench: bool,
    /// What to call the report of that, which is written to target/bench-reports
    #[arg(long, value_name = "NAME", default_value = "devices", requires = "bench")]
    save: Name,
    /// Measure nothing, but write the figures of this report into docs/benchmarks.md
    #[arg(long, value_name = "NAME", requires = "bench", conflicts_with_all = ["save", "names", "list"])]
    docs: Option<Name>,
    /// Be the driver of the disk behind this socket until killed
    #[arg(long, hide = true, value_name = "SOCKET")]
    drive: Option<PathBuf>,
    /// What that driver negotiates
    #[arg(long, hide = true, requires = "drive", default_value_t)]
    features: u64,
}

fn main() -> ExitCode {
    xtask_support::main(run)
}

/// Runs the devices against the drivers, one after the other.
fn run(args: &Args) -> Result<ExitCode> {
    if args.list {
        for (name, about) in DRIVERS {
            println!("{name:<14} {about}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(name) = &args.docs {
        Report::load(name)?.publish(&KIND)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(socket) = &args.drive {
        return drive(socket, args.features);
    }
    if args.bench { run_benchmarks(args) } else { run_drivers(args) }
}

/// Returns the tables beside that of the targets.
fn tables(report: &Report) -> String {
    linux::table_of_flows(report) + &virtio_driver::table_of_reads(report)
}

fn drive(socket: &Path, features: u64) -> Result<ExitCode> {
    virtio_driver::drive(socket, features).map(|()| ExitCode::SUCCESS)
}

fn run_drivers(args: &Args) -> Result<ExitCode> {
    let wanted = |name| args.names.is_empty() || args.names.iter().any(|wanted| wanted == name);
    matrix::Row::print_header();
    let mut passed = true;
    if wanted("virtio-driver") {
        passed &= virtio_driver::run()?;
    }
    if wanted("linux") {
        passed &= linux::run()?;
    }
    if wanted("dpdk") {
        passed &= dpdk::run()?;
    }
    if wanted("recovery") {
        passed &= linux::recovery::run(&args.extent)?;
    }
    if wanted("migration") {
        passed &= linux::migration::run(&args.extent)?;
    }
    if wanted("hotplug") {
        passed &= linux::hotplug::run(&args.extent)?;
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_benchmarks(args: &Args) -> Result<ExitCode> {
    bench::measure(&args.names)?.save(&KIND, &args.save)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_has_a_place_for_reports() {
        KIND.check_docs().unwrap();
    }
}
