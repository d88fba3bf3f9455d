//! The figures, as data.

use crate::support::device::Contender;
use crate::support::device::memcpy::MEMCPY;
use crate::support::device::ours::{
    ANY_PACKED, ANY_SPLIT, COPY, PACKED, PACKED_CHAINS, PACKED_FLAT, PACKED_IN_ORDER, PACKED_SHARED, PACKED_STREAM,
    PACKED_TOKENS, REQUEST, SPLIT, SPLIT_CHAINS, SPLIT_FLAT, SPLIT_IN_ORDER, SPLIT_SHARED, SPLIT_STREAM, SPLIT_TOKENS,
};
use crate::support::device::peer::VIRTIO_QUEUE;
use crate::support::device::peer::payloads;
use crate::support::device::raw::packed::RAW_PACKED;
use crate::support::device::raw::split::RAW_SPLIT;
use crate::support::shape::{Completion, Direction, Shape};

/// What is drawn with one pair of axes.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) contenders: Vec<Contender>,
    pub(crate) points: Vec<Point>,
}

/// One place on the horizontal axis.
pub(crate) struct Point {
    pub(crate) x: String,
    pub(crate) shape: Shape,
    /// Whether it is measured when there is little time.
    pub(crate) quick: bool,
}

const ALL: [Contender; 5] = [SPLIT, PACKED, RAW_SPLIT, RAW_PACKED, VIRTIO_QUEUE];

/// Returns all figures.
pub(crate) fn figures() -> Vec<Figure> {
    let flat = [SPLIT_FLAT, PACKED_FLAT];
    let order = [SPLIT_TOKENS, PACKED_TOKENS, SPLIT_IN_ORDER, PACKED_IN_ORDER];
    let copy = [COPY, &[payloads::COPY, MEMCPY]].concat();
    let request = [REQUEST, &[payloads::REQUEST, MEMCPY]].concat();
    vec![
        Figure { name: "chain-direct", contenders: [&ALL[..], &flat].concat(), points: chain_lengths(false) },
        Figure { name: "chain-indirect", contenders: ALL.into(), points: chain_lengths(true) },
        Figure { name: "burst-1", contenders: ALL.into(), points: bursts(1) },
        Figure { name: "burst-8", contenders: ALL.into(), points: bursts(8) },
        Figure { name: "event-idx", contenders: ALL.into(), points: event_idx() },
        Figure { name: "order", contenders: order.into(), points: orders() },
        Figure { name: "queue-size", contenders: ALL.into(), points: queue_sizes() },
        Figure { name: "regions", contenders: ALL.into(), points: regions() },
        Figure { name: "payload-read", contenders: copy.clone(), points: payloads(Direction::Read) },
        Figure { name: "payload-write", contenders: copy, points: payloads(Direction::Write) },
        Figure { name: "request-read", contenders: request.clone(), points: payloads(Direction::Read) },
        Figure { name: "request-write", contenders: request, points: payloads(Direction::Write) },
        Figure { name: "run-time", contenders: vec![SPLIT, PACKED, ANY_SPLIT, ANY_PACKED], points: few_lengths() },
        Figure { name: "chains", contenders: vec![SPLIT, PACKED, SPLIT_CHAINS, PACKED_CHAINS], points: few_lengths() },
        Figure { name: "shared", contenders: vec![SPLIT_SHARED, PACKED_SHARED], points: threads() },
        Figure { name: "stream", contenders: vec![SPLIT_STREAM, PACKED_STREAM], points: one_by_one() },
    ]
}

fn chain_lengths(indirect: bool) -> Vec<Point> {
    let shape = |descriptors| Shape { descriptors, indirect, ..Shape::BASE };
    points([1, 2, 4, 8, 32], &[1, 8], shape)
}

fn bursts(descriptors: u16) -> Vec<Point> {
    points([1, 8, 32, 256], &[1, 32], |burst| Shape { descriptors, burst, ..Shape::BASE })
}

fn event_idx() -> Vec<Point> {
    let shape = |(event_idx, burst)| Shape { event_idx, burst, ..Shape::BASE };
    let all = [("on-1", (true, 1)), ("off-1", (false, 1)), ("on-32", (true, 32)), ("off-32", (false, 32))];
    named(all, &["off-1", "off-32"], shape)
}

fn orders() -> Vec<Point> {
    let all = [("in-order", Completion::InOrder), ("out-of-order", Completion::OutOfOrder)];
    named(all, &["in-order", "out-of-order"], |completion| Shape { completion, ..Shape::BASE })
}

/// In bursts of 16, for which there is room in the smallest queue as well.
fn queue_sizes() -> Vec<Point> {
    let shape = |queue_size| Shape { queue_size, burst: 16, ..Shape::BASE };
    points([16, 64, 256, 1024, 4096, 32768], &[256, 32768], shape)
}

/// In a large queue: with as few chains as there are in a small one, a processor learns by heart where each of them
/// lies.
fn regions() -> Vec<Point> {
    let shape = |regions| Shape { regions, descriptors: 8, queue_size: 4096, ..Shape::BASE };
    points([1, 8, 64, 512], &[1, 512], shape)
}

fn payloads(direction: Direction) -> Vec<Point> {
    points([64, 1500, 4096, 65536], &[4096], |bytes| Shape::of_payload(bytes, direction))
}

fn few_lengths() -> Vec<Point> {
    points([1, 8], &[1, 8], |descriptors| Shape { descriptors, ..Shape::BASE })
}

/// In a ring that is a pass by itself, so that threads are started once in a pass.
fn threads() -> Vec<Point> {
    points([1, 2], &[1, 2], |threads| Shape { threads, queue_size: 1024, ..Shape::BASE })
}

fn one_by_one() -> Vec<Point> {
    points([1], &[1], |burst| Shape { burst, ..Shape::BASE })
}

/// Returns the points of a sweep, `quick` of which are measured when there is little time.
fn points<T, const N: usize>(all: [T; N], quick: &[T], shape: impl Fn(T) -> Shape) -> Vec<Point>
where
    T: Copy + PartialEq + ToString,
{
    let point = |x: T| Point { x: x.to_string(), shape: shape(x), quick: quick.contains(&x) };
    all.into_iter().map(point).collect()
}

/// Returns the points of a sweep over something that is no number.
fn named<T, const N: usize>(all: [(&str, T); N], quick: &[&str], shape: impl Fn(T) -> Shape) -> Vec<Point> {
    let point = |(x, value): (&str, T)| Point { x: x.to_owned(), shape: shape(value), quick: quick.contains(&x) };
    all.into_iter().map(point).collect()
}
