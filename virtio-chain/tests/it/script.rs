//! Random things that a device does with a chain, and what it gets to see of it.

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use virtio_chain::{Reader, TransferError, Writer};
use virtio_mem_traits::DeviceRange;
use virtio_queue_core::Walk;

/// What is done in one half of a chain: some steps, then perhaps a split into two parts.
#[derive(Clone, Debug)]
pub(crate) struct Script<Op> {
    ops: Vec<Op>,
    split: Option<Box<Split<Op>>>,
}

#[derive(Clone, Debug)]
struct Split<Op> {
    at: u64,
    head: Script<Op>,
    tail: Script<Op>,
    tail_first: bool,
    join: bool,
    /// What comes after it: where the tail is if it is joined, at the end of the head otherwise.
    after: Vec<Op>,
}

#[derive(Clone, Debug)]
pub(crate) enum ReadOp {
    Read(usize),
    Exact(usize),
    /// A number of 4, 8 or 16 bytes.
    Object(usize),
    /// So many bytes, piece by piece.
    Pieces(usize),
    /// A look ahead at the fragments of so many bytes.
    Fragments(u64),
    Advance(u64),
    Remaining,
}

#[derive(Clone, Debug)]
pub(crate) enum WriteOp {
    Write(Vec<u8>),
    All(Vec<u8>),
    Object(u64),
    Fill(u64, u8),
    /// So many bytes of a value, through fragments.
    Fragments(u64, u8),
    Skip(u64),
    Remaining,
}

/// What a device gets to see of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Bytes(Vec<u8>),
    Count(u64),
    Short { wanted: u64, available: u64 },
    Progress { prefix: u64, written: u64 },
}

/// One half of a chain, or a model of it.
pub(crate) trait Half: Sized {
    type Op;

    /// Takes one step, and returns whether there can be another.
    fn step(&mut self, op: &Self::Op, seen: &mut Vec<Seen>) -> bool;
    fn split(&mut self, at: u64) -> Result<Self, Seen>;
    fn join(&mut self, tail: Self, seen: &mut Vec<Seen>);
}

impl<Op> Script<Op> {
    /// A script for about `len` bytes, with `depth` splits in a row at most.
    pub(crate) fn random(
        rng: &mut Xoshiro256PlusPlus,
        len: usize,
        depth: usize,
        op: fn(&mut Xoshiro256PlusPlus, usize) -> Op,
    ) -> Self {
        let ops = |rng: &mut _, most| (0..RngExt::random_range(rng, 0..=most)).map(|_| op(rng, len / 4 + 2)).collect();
        let split = depth > 0 && rng.random_ratio(2, 3);
        Self {
            ops: ops(rng, 4),
            split: split.then(|| {
                Box::new(Split {
                    at: rng.random_range(0..=len as u64 / 2 + 1),
                    after: ops(rng, 2),
                    head: Self::random(rng, len / 2, depth - 1, op),
                    tail: Self::random(rng, len / 2, depth - 1, op),
                    tail_first: rng.random(),
                    join: rng.random_ratio(3, 4),
                })
            }),
        }
    }

    /// Does in `half` what the script says, and notes what there is to see.
    pub(crate) fn run<H: Half<Op = Op>>(&self, half: &mut H, seen: &mut Vec<Seen>) {
        if !self.ops.iter().all(|op| half.step(op, seen)) {
            return;
        }
        let Some(split) = &self.split else { return };
        match half.split(split.at) {
            Err(refused) => seen.push(refused),
            Ok(mut tail) => {
                if split.tail_first {
                    split.tail.run(&mut tail, seen);
                    split.head.run(half, seen);
                } else {
                    split.head.run(half, seen);
                    split.tail.run(&mut tail, seen);
                }
                if split.join {
                    half.join(tail, seen);
                }
                for op in &split.after {
                    half.step(op, seen);
                }
            }
        }
    }
}

impl ReadOp {
    pub(crate) fn random(rng: &mut Xoshiro256PlusPlus, most: usize) -> Self {
        let len = rng.random_range(0..=most);
        match rng.random_range(0..7) {
            0 => Self::Read(len),
            1 => Self::Exact(len),
            2 => Self::Object([4, 8, 16][rng.random_range(0..3)]),
            3 => Self::Pieces(len),
            4 => Self::Fragments(len as u64),
            5 => Self::Advance(len as u64),
            _ => Self::Remaining,
        }
    }
}

impl WriteOp {
    pub(crate) fn random(rng: &mut Xoshiro256PlusPlus, most: usize) -> Self {
        let len = rng.random_range(0..=most);
        let mut bytes = || (0..len).map(|_| rng.random()).collect();
        match len % 7 {
            0 => Self::Write(bytes()),
            1 => Self::All(bytes()),
            2 => Self::Object(rng.random()),
            3 => Self::Fill(len as u64, rng.random()),
            4 => Self::Fragments(len as u64, rng.random()),
            5 => Self::Skip(len as u64 / 2),
            _ => Self::Remaining,
        }
    }
}

impl<'m, W: Walk<'m>> Half for Reader<'m, W> {
    type Op = ReadOp;

    fn step(&mut self, op: &ReadOp, seen: &mut Vec<Seen>) -> bool {
        let what = match *op {
            ReadOp::Read(len) => {
                let mut buf = vec![0; len];
                let count = self.read(&mut buf).unwrap();
                buf.truncate(count);
                Seen::Bytes(buf)
            }
            ReadOp::Exact(len) => {
                let mut buf = vec![0; len];
                self.read_exact(&mut buf).map_or_else(short, |()| Seen::Bytes(buf))
            }
            ReadOp::Object(4) => bytes(self.read_obj::<u32>().map(u32::to_ne_bytes)),
            ReadOp::Object(8) => bytes(self.read_obj::<u64>().map(u64::to_ne_bytes)),
            ReadOp::Object(_) => bytes(self.read_obj::<[u16; 8]>().map(|object| object.map(u16::to_ne_bytes).concat())),
            ReadOp::Pieces(len) => {
                let mut all = Vec::new();
                while all.len() < len {
                    let Some(piece) = self.next_with_limit(len - all.len()).unwrap() else { break };
                    all.append(&mut content(&piece));
                }
                Seen::Bytes(all)
            }
            ReadOp::Fragments(limit) => {
                let mut storage = [DeviceRange::empty(); 300];
                let count = self.fragments(limit, &mut storage).unwrap();
                Seen::Bytes(storage[..count].iter().flat_map(content).collect())
            }
            ReadOp::Advance(len) => Seen::Count(self.advance(len).unwrap()),
            ReadOp::Remaining => Seen::Count(self.remaining().unwrap().bytes),
        };
        let go_on = !matches!(what, Seen::Short { .. });
        seen.push(what);
        go_on
    }

    fn split(&mut self, at: u64) -> Result<Self, Seen> {
        self.split_at(at).map_err(short)
    }

    fn join(&mut self, _: Self, _: &mut Vec<Seen>) {}
}

impl<'m, W: Walk<'m>> Half for Writer<'m, W> {
    type Op = WriteOp;

    fn step(&mut self, op: &WriteOp, seen: &mut Vec<Seen>) -> bool {
        let what = match op {
            WriteOp::Write(bytes) => Seen::Count(self.write(bytes).unwrap() as u64),
            WriteOp::All(bytes) => self.write_all(bytes).map_or_else(short, |()| Seen::Count(bytes.len() as u64)),
            WriteOp::Object(object) => self.write_obj(object).map_or_else(short, |()| Seen::Count(8)),
            WriteOp::Fill(len, value) => Seen::Count(self.fill(*len, *value).unwrap()),
            WriteOp::Fragments(len, value) => {
                let mut storage = [DeviceRange::empty(); 300];
                let count = self.fragments(*len, &mut storage).unwrap();
                for piece in &storage[..count] {
                    piece.fill(0, piece.len(), *value).unwrap();
                }
                Seen::Count(self.advance(*len).unwrap())
            }
            WriteOp::Skip(len) => Seen::Count(self.skip(*len).unwrap()),
            WriteOp::Remaining => Seen::Count(self.remaining().unwrap().bytes),
        };
        seen.push(what);
        seen.push(Seen::Progress { prefix: self.prefix(), written: self.written() });
        true
    }

    fn split(&mut self, at: u64) -> Result<Self, Seen> {
        self.split_at(at).map_err(short)
    }

    fn join(&mut self, tail: Self, seen: &mut Vec<Seen>) {
        Self::join(self, tail);
        seen.push(Seen::Progress { prefix: self.prefix(), written: self.written() });
    }
}

fn bytes(object: Result<impl AsRef<[u8]>, TransferError>) -> Seen {
    object.map_or_else(short, |bytes| Seen::Bytes(bytes.as_ref().to_vec()))
}

fn short(error: TransferError) -> Seen {
    match error {
        TransferError::Short { wanted, available } => Seen::Short { wanted, available },
        TransferError::Chain(error) => panic!("the chain is well-formed: {error}"),
    }
}

fn content(piece: &DeviceRange<'_>) -> Vec<u8> {
    let mut bytes = vec![0; piece.len()];
    piece.read_bytes(0, &mut bytes).unwrap();
    bytes
}
