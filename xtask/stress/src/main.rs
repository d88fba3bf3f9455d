//! Drivers and devices in threads of their own, each of which sleeps when it has nothing to do.
//!
//! A notification that is lost leaves both sides asleep, which ends the program with an error. An answer that is not
//! what was asked for does so, too.

mod driver;
mod line;
mod plain;
mod shared;

use clap::{Parser, ValueEnum};
use virtio_fake_driver::features::{EVENT_IDX, INDIRECT_DESC, RING_PACKED};

/// Moves chains between threads that sleep
#[derive(Parser)]
struct Cli {
    /// How many chains there are altogether
    #[arg(long, default_value_t = 100_000)]
    chains: usize,
    /// Only these devices
    #[arg(long)]
    device: Option<Device>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Device {
    /// One thread with a queue of its own
    Plain,
    /// Three threads that share a queue, and return chains in any order
    Shared,
}

const DEVICES: [(Device, &str, fn(u64, u16, usize)); 2] =
    [(Device::Plain, "plain", plain::run), (Device::Shared, "shared", shared::run)];

/// In both formats, with flags and with EVENT_IDX.
const FEATURES: [u64; 4] = [0, EVENT_IDX | INDIRECT_DESC, RING_PACKED | INDIRECT_DESC, RING_PACKED | EVENT_IDX];

const SIZES: [u16; 3] = [1, 8, 64];

fn main() {
    let cli = Cli::parse();
    let devices: Vec<_> = DEVICES.iter().filter(|device| cli.device.is_none_or(|wanted| wanted == device.0)).collect();
    let chains = cli.chains.div_ceil(devices.len() * FEATURES.len() * SIZES.len());
    for (_, name, run) in devices {
        for features in FEATURES {
            for size in SIZES {
                run(features, size, chains);
                println!("{name}, features {features:#x}, queue of {size}: {chains} chains");
            }
        }
    }
}
