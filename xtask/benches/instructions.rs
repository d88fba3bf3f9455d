//! How many instructions a chain takes, for callgrind to count: unlike time, they do not depend on what else the machine does.
//!
//! * `instructions list` prints the shapes that can be run, each with the number of chains that are counted.
//! * `instructions run SHAPE` runs one. What is to be counted happens in [`callgrind_counted`]:
//!   `valgrind --tool=callgrind --toggle-collect='*callgrind_counted*' instructions run SHAPE`.
//! * Without arguments, all shapes are run, which is a test of this program and no measurement.
//!
//! A payload of 64 bytes shows what there is to do around a copy. One of 4096 is for comparing with itself alone: callgrind counts
//! each byte that `rep movsb` moves as an instruction, and `memcpy` moves 32 at a time.

#![expect(
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    reason = "it runs where there is an operating system"
)]
#![expect(clippy::indexing_slicing, reason = "a benchmark that is wrong may panic")]

mod support;

use std::env;
use std::process::ExitCode;

use anyhow::Result;

use self::support::device::Contender;
use self::support::device::memcpy::MEMCPY;
use self::support::device::ours::{ANY_PACKED, ANY_SPLIT, COPY, PACKED, PACKED_CHAINS, SPLIT, SPLIT_CHAINS};
use self::support::device::peer::{self, VIRTIO_QUEUE};
use self::support::device::raw::{RAW_PACKED, RAW_SPLIT};
use self::support::pass::{Bench, Lane, serve};
use self::support::shape::{Direction, Shape};

/// How many passes are counted. The count for a pass does not change, except that a packed ring has two kinds of laps.
const PASSES: u64 = 8;

/// One line of the list.
struct Counted {
    name: String,
    contender: Contender,
    shape: Shape,
}

impl Counted {
    fn bench(&self) -> Bench {
        Bench::new(self.name.clone(), &self.contender, self.shape)
    }

    fn chains(&self) -> u64 {
        PASSES * u64::from(self.shape.rings()) * u64::from(self.shape.chains())
    }

    fn run(&self) {
        let mut bench = self.bench();
        for _ in 0..PASSES {
            bench.pass(|lanes| (callgrind_counted(lanes), ()));
        }
    }
}

/// What is counted: the work of the devices in one pass, without that of the driver.
#[inline(never)]
fn callgrind_counted(lanes: &mut [Lane]) -> Result<()> {
    serve(lanes)
}

/// Returns all that can be counted.
fn all() -> Vec<Counted> {
    let contenders =
        [SPLIT, PACKED, SPLIT_CHAINS, PACKED_CHAINS, ANY_SPLIT, ANY_PACKED, RAW_SPLIT, RAW_PACKED, VIRTIO_QUEUE];
    let chains = contenders.iter().flat_map(|contender| {
        chain_shapes().map(|(name, shape)| Counted {
            name: format!("{}/{name}", contender.name),
            contender: *contender,
            shape,
        })
    });
    let contenders = [COPY, &[peer::COPY, MEMCPY]].concat();
    let payloads = contenders.into_iter().flat_map(|contender| {
        payload_shapes().map(move |(name, shape)| Counted {
            name: format!("{}/{name}", contender.name),
            contender,
            shape,
        })
    });
    chains.chain(payloads).collect()
}

fn chain_shapes() -> impl Iterator<Item = (String, Shape)> {
    let shape = |(kind, descriptors, burst)| {
        let shape = Shape { descriptors, burst, indirect: kind == "indirect", ..Shape::BASE };
        (format!("{kind}-{descriptors}-burst-{burst}"), shape)
    };
    let kinds = [("direct", 1), ("direct", 8), ("indirect", 8)];
    kinds.into_iter().flat_map(move |(kind, descriptors)| [1, 32].map(|burst| shape((kind, descriptors, burst))))
}

fn payload_shapes() -> impl Iterator<Item = (String, Shape)> {
    let directions = [("read", Direction::Read), ("write", Direction::Write)];
    directions.into_iter().flat_map(|(name, direction)| {
        [64, 4096].map(|bytes| (format!("payload-{name}-{bytes}"), Shape::of_payload(bytes, direction)))
    })
}

fn main() -> ExitCode {
    // Cargo says that this is a benchmark.
    let args: Vec<_> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => all().iter().for_each(|counted| println!("{}/{}", counted.name, counted.chains())),
        ["run", shape] => match all().iter().find(|counted| counted.name == shape) {
            Some(counted) => counted.run(),
            None => return wrong(&format!("there is no shape {shape}: see `list`")),
        },
        [] => all().iter().for_each(Counted::run),
        _ => return wrong("what is known is `list`, `run SHAPE`, and nothing at all for a test of all shapes"),
    }
    ExitCode::SUCCESS
}

fn wrong(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(2)
}
