//! How many instructions a chain takes, for callgrind to count: unlike time, they do not depend on what else the
//! machine does.
//!
//! * `instructions list` prints the shapes that can be run, each with the number of chains that are counted.
//! * `instructions run SHAPE` runs one. What is to be counted happens in [`callgrind_counted`]:
//!   `valgrind --tool=callgrind --toggle-collect='*callgrind_counted*' instructions run SHAPE`.
//! * Without arguments, all shapes are run, which is a test of this program and no measurement.
//!
//! A payload of 64 bytes shows what there is to do around a copy. One of 4096 is for comparing with itself alone:
//! callgrind counts each byte that `rep movsb` moves as an instruction, and `memcpy` moves 32 at a time.

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
use self::support::device::ours::{
    ANY_PACKED, ANY_PACKED_BULK, ANY_SPLIT, ANY_SPLIT_BULK, COPY, OWNED, PACKED, PACKED_BULK, PACKED_BULK_IN_ORDER,
    PACKED_CACHE, PACKED_CHAINS, PACKED_GUEST, PACKED_IN_ORDER, PACKED_PACKETS, PACKED_SHARED, PACKED_STREAM,
    PACKED_TOKENS, REQUEST, SPLIT, SPLIT_BULK, SPLIT_BULK_IN_ORDER, SPLIT_CACHE, SPLIT_CHAINS, SPLIT_GUEST,
    SPLIT_IN_ORDER, SPLIT_PACKETS, SPLIT_SHARED, SPLIT_STREAM, SPLIT_TOKENS,
};
use self::support::device::peer::VIRTIO_QUEUE;
use self::support::device::peer::payloads;
use self::support::device::raw::packed::RAW_PACKED;
use self::support::device::raw::split::RAW_SPLIT;
use self::support::pass::{Bench, Lane, serve};
use self::support::shape::{Completion, Direction, Shape};

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
    let queues =
        [SPLIT, PACKED, SPLIT_CHAINS, PACKED_CHAINS, ANY_SPLIT, ANY_PACKED, RAW_SPLIT, RAW_PACKED, VIRTIO_QUEUE];
    let bulk = [SPLIT_BULK, PACKED_BULK, ANY_SPLIT_BULK, ANY_PACKED_BULK, SPLIT_BULK_IN_ORDER, PACKED_BULK_IN_ORDER];
    let orders = [SPLIT_TOKENS, PACKED_TOKENS, SPLIT_IN_ORDER, PACKED_IN_ORDER];
    let memories = [SPLIT_CACHE, PACKED_CACHE, SPLIT_GUEST, PACKED_GUEST];
    let one = ("direct-1-burst-32".to_owned(), Shape::BASE);
    let eight = ("direct-8-burst-32".to_owned(), Shape { descriptors: 8, ..Shape::BASE });
    let shared = ("shared-1".to_owned(), Shape { queue_size: 1024, ..Shape::BASE });
    let stream = ("stream-1".to_owned(), Shape { burst: 1, ..Shape::BASE });
    let counted = [
        each(&queues, chain_shapes()),
        each(&bulk, vec![one.clone()]),
        each(&memories, vec![one, eight]),
        each(&[SPLIT, PACKED], region_shapes()),
        each(&orders, order_shapes()),
        each(&[SPLIT_SHARED, PACKED_SHARED], vec![shared]),
        each(&[SPLIT_STREAM, PACKED_STREAM], vec![stream]),
        each(&[COPY, &[payloads::COPY, MEMCPY]].concat(), payload_shapes()),
        each(&[REQUEST, &[payloads::REQUEST]].concat(), small_payload_shapes("request", 32)),
        each(OWNED, small_payload_shapes("one-by-one", 1)),
        each(&[SPLIT_PACKETS, PACKED_PACKETS], vec![("packets-64".to_owned(), Shape::BASE)]),
    ];
    counted.into_iter().flatten().collect()
}

/// Returns each of the contenders at each of the shapes.
fn each(contenders: &[Contender], shapes: Vec<(String, Shape)>) -> Vec<Counted> {
    let at = |(name, shape): (String, Shape)| {
        contenders.iter().map(move |contender| Counted {
            name: format!("{}/{name}", contender.name),
            contender: *contender,
            shape,
        })
    };
    shapes.into_iter().flat_map(at).collect()
}

fn chain_shapes() -> Vec<(String, Shape)> {
    let shape = |(kind, descriptors, burst)| {
        let shape = Shape { descriptors, burst, indirect: kind == "indirect", ..Shape::BASE };
        (format!("{kind}-{descriptors}-burst-{burst}"), shape)
    };
    let kinds = [("direct", 1), ("direct", 8), ("indirect", 8)];
    kinds.into_iter().flat_map(|(kind, descriptors)| [1, 32].map(|burst| shape((kind, descriptors, burst)))).collect()
}

fn order_shapes() -> Vec<(String, Shape)> {
    let orders = [("in-order", Completion::InOrder), ("out-of-order", Completion::OutOfOrder)];
    let shape = |(name, completion)| (format!("tokens-{name}"), Shape { completion, ..Shape::BASE });
    orders.map(shape).into()
}

fn payload_shapes() -> Vec<(String, Shape)> {
    let directions = [("read", Direction::Read), ("write", Direction::Write)];
    let shape = |name, direction, bytes| (format!("payload-{name}-{bytes}"), Shape::of_payload(bytes, direction));
    directions.into_iter().flat_map(|(name, direction)| [64, 4096].map(|bytes| shape(name, direction, bytes))).collect()
}

/// Payloads of 64 bytes in chains that are fetched and returned as well.
fn small_payload_shapes(name: &str, burst: u16) -> Vec<(String, Shape)> {
    let directions = [("read", Direction::Read), ("write", Direction::Write)];
    let shape = |direction| Shape { burst, ..Shape::of_payload(64, direction) };
    directions.map(|(direction, of)| (format!("{name}-{direction}-64"), shape(of))).into()
}

/// In a queue as large as for the figure.
fn region_shapes() -> Vec<(String, Shape)> {
    let shape = |regions| Shape { regions, descriptors: 8, queue_size: 4096, ..Shape::BASE };
    [1, 512].map(|regions| (format!("regions-{regions}"), shape(regions))).into()
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
