//! Random things that a device does with a chain, and what it gets to see of it.

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use virtio_chain::{JoinError, Reader, TransferError, Writer};
use virtio_fake_driver::TestMem;
use virtio_mem_traits::{AccessError, DeviceRange};
use virtio_queue_core::ChainElements;

use super::rig::{RigChain, gather, scatter};

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
    /// So many bytes, handed out.
    Transfer(u64),
    /// So many bytes, lent.
    Lend(u64),
    Skip(u64),
    Remaining,
}

#[derive(Clone, Debug)]
pub(crate) enum WriteOp {
    Write(Vec<u8>),
    All(Vec<u8>),
    Object(u64),
    Fill(u64, u8),
    /// So many bytes of a value, handed out, of which no more than the second number are written.
    Transfer(u64, u64, u8),
    /// So many bytes of a value: all lent that there are, and settled 3 at a time.
    Lend(u64, u8),
    /// So many bytes of a value, piece by piece.
    Pieces(usize, u8),
    Skip(u64),
    Remaining,
}

/// What a device gets to see of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Bytes(Vec<u8>),
    Count(u64),
    Short { wanted: u64, available: u64 },
    Progress { prefix: u32, written: u64, position: u64 },
    Apart { start: u64, end: Option<u64> },
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
        match rng.random_range(0..8) {
            0 => Self::Read(len),
            1 => Self::Exact(len),
            2 => Self::Object([4, 8, 16][rng.random_range(0..3)]),
            3 => Self::Pieces(len),
            4 => Self::Transfer(len as u64),
            5 => Self::Lend(len as u64),
            6 => Self::Skip(len as u64),
            _ => Self::Remaining,
        }
    }
}

impl WriteOp {
    pub(crate) fn random(rng: &mut Xoshiro256PlusPlus, most: usize) -> Self {
        let len = rng.random_range(0..=most);
        let mut bytes = || (0..len).map(|_| rng.random()).collect();
        match len % 9 {
            0 => Self::Write(bytes()),
            1 => Self::All(bytes()),
            2 => Self::Object(rng.random()),
            3 => Self::Fill(len as u64, rng.random()),
            4 => Self::Transfer(len as u64, rng.random_range(0..=2 * len as u64), rng.random()),
            5 => Self::Lend(len as u64, rng.random()),
            6 => Self::Pieces(len, rng.random()),
            7 => Self::Skip(len as u64 / 2),
            _ => Self::Remaining,
        }
    }
}

/// A half of a chain, or a part of it, and the memory that it is in.
pub(crate) struct Real<'c, H> {
    half: H,
    mem: &'c TestMem,
}

impl<'c> Real<'c, Reader<&'c RigChain<'c>>> {
    pub(crate) fn reader(chain: &'c RigChain<'c>) -> Self {
        Self { half: Reader::new(chain), mem: ChainElements::mem(chain) }
    }

    fn pieces(&mut self, len: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < len {
            let Some(piece) = self.half.next_with_limit(len - all.len()).unwrap() else { break };
            all.append(&mut content(&piece));
        }
        all
    }

    fn transfer(&mut self, limit: u64) -> Vec<u8> {
        let mut all = Vec::new();
        let moved = self.half.transfer(limit, |pieces| {
            let mut bytes = gather(self.mem, pieces, usize::MAX);
            let count = bytes.len();
            all.append(&mut bytes);
            Ok::<_, ()>(count)
        });
        assert_eq!(moved, Ok(all.len() as u64));
        all
    }

    fn lend(&mut self, limit: u64) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let lent = self.half.lend(limit - all.len() as u64).unwrap();
            let mut bytes = gather(self.mem, lent.io_vecs(), usize::MAX);
            assert_eq!((lent.len(), lent.is_empty()), (bytes.len(), bytes.is_empty()));
            self.half.settle(lent, bytes.len()).unwrap();
            if bytes.is_empty() {
                return all;
            }
            all.append(&mut bytes);
        }
    }
}

impl<'c> Half for Real<'c, Reader<&'c RigChain<'c>>> {
    type Op = ReadOp;

    fn step(&mut self, op: &ReadOp, seen: &mut Vec<Seen>) -> bool {
        let reader = &mut self.half;
        let what = match *op {
            ReadOp::Read(len) => {
                let mut buf = vec![0; len];
                let count = reader.read(&mut buf).unwrap();
                buf.truncate(count);
                Seen::Bytes(buf)
            }
            ReadOp::Exact(len) => {
                let mut buf = vec![0; len];
                reader.read_exact(&mut buf).map_or_else(short, |()| Seen::Bytes(buf))
            }
            ReadOp::Object(4) => bytes(reader.read_obj::<u32>().map(u32::to_ne_bytes)),
            ReadOp::Object(8) => bytes(reader.read_obj::<u64>().map(u64::to_ne_bytes)),
            ReadOp::Object(_) => {
                bytes(reader.read_obj::<[u16; 8]>().map(|object| object.map(u16::to_ne_bytes).concat()))
            }
            ReadOp::Pieces(len) => Seen::Bytes(self.pieces(len)),
            ReadOp::Transfer(limit) => Seen::Bytes(self.transfer(limit)),
            ReadOp::Lend(limit) => Seen::Bytes(self.lend(limit)),
            ReadOp::Skip(len) => Seen::Count(reader.skip(len).unwrap()),
            ReadOp::Remaining => Seen::Count(reader.remaining().unwrap().bytes),
        };
        let go_on = !matches!(what, Seen::Short { .. });
        seen.extend([what, Seen::Count(self.half.position())]);
        go_on
    }

    fn split(&mut self, at: u64) -> Result<Self, Seen> {
        let half = self.half.split_at(at).map_err(short)?;
        Ok(Self { half, ..*self })
    }

    fn join(&mut self, _: Self, _: &mut Vec<Seen>) {}
}

impl<'c> Real<'c, Writer<&'c RigChain<'c>>> {
    pub(crate) fn writer(chain: &'c RigChain<'c>) -> Self {
        Self { half: Writer::new(chain), mem: ChainElements::mem(chain) }
    }

    /// Returns the length that the driver is told of.
    pub(crate) fn prefix(&self) -> u32 {
        self.half.prefix()
    }

    fn transfer(&mut self, limit: u64, most: u64, value: u8) -> u64 {
        let mut left = most as usize;
        let moved = self.half.transfer(limit, |pieces| {
            let count = scatter(self.mem, pieces, &vec![value; left]);
            left -= count;
            Ok::<_, ()>(count)
        });
        moved.unwrap()
    }

    fn lend(&mut self, len: u64, value: u8) -> u64 {
        let mut left = len;
        while left > 0 {
            let lent = self.half.lend(u64::MAX).unwrap();
            let count = scatter(self.mem, lent.io_vecs(), &vec![value; left.min(3) as usize]);
            self.half.settle(lent, count).unwrap();
            if count == 0 {
                break;
            }
            left -= count as u64;
        }
        len - left
    }

    fn pieces(&mut self, len: usize, value: u8) -> u64 {
        let mut done = 0;
        let fill = |piece: DeviceRange<'_>| piece.fill(0, piece.len(), value).map(|()| piece.len());
        while done < len {
            match self.half.next_with_limit::<AccessError>(len - done, fill).unwrap() {
                0 => break,
                count => done += count,
            }
        }
        done as u64
    }

    fn progress(&self) -> Seen {
        let (prefix, written, position) = (self.half.prefix(), self.half.written(), self.half.position());
        Seen::Progress { prefix, written, position }
    }
}

impl<'c> Half for Real<'c, Writer<&'c RigChain<'c>>> {
    type Op = WriteOp;

    fn step(&mut self, op: &WriteOp, seen: &mut Vec<Seen>) -> bool {
        let writer = &mut self.half;
        let what = match op {
            WriteOp::Write(bytes) => Seen::Count(writer.write(bytes).unwrap() as u64),
            WriteOp::All(bytes) => writer.write_all(bytes).map_or_else(short, |()| Seen::Count(bytes.len() as u64)),
            WriteOp::Object(object) => writer.write_obj(object).map_or_else(short, |()| Seen::Count(8)),
            WriteOp::Fill(len, value) => Seen::Count(writer.fill(*len, *value).unwrap()),
            WriteOp::Transfer(len, most, value) => Seen::Count(self.transfer(*len, *most, *value)),
            WriteOp::Lend(len, value) => Seen::Count(self.lend(*len, *value)),
            WriteOp::Pieces(len, value) => Seen::Count(self.pieces(*len, *value)),
            WriteOp::Skip(len) => Seen::Count(writer.skip(*len).unwrap()),
            WriteOp::Remaining => Seen::Count(writer.remaining().unwrap().bytes),
        };
        seen.extend([what, self.progress()]);
        true
    }

    fn split(&mut self, at: u64) -> Result<Self, Seen> {
        let half = self.half.split_at(at).map_err(short)?;
        Ok(Self { half, ..*self })
    }

    fn join(&mut self, tail: Self, seen: &mut Vec<Seen>) {
        if let Err(error) = self.half.join(tail.half) {
            let JoinError::Apart { start, end } = error else { panic!("the chain is the same: {error}") };
            seen.push(Seen::Apart { start, end });
        }
        seen.push(self.progress());
    }
}

fn bytes(object: Result<impl AsRef<[u8]>, TransferError>) -> Seen {
    object.map_or_else(short, |bytes| Seen::Bytes(bytes.as_ref().to_vec()))
}

fn short(error: TransferError) -> Seen {
    match error {
        TransferError::Short { wanted, available } => Seen::Short { wanted, available },
        error => panic!("the chain is well-formed: {error}"),
    }
}

fn content(piece: &DeviceRange<'_>) -> Vec<u8> {
    let mut bytes = vec![0; piece.len()];
    piece.read_bytes(0, &mut bytes).unwrap();
    bytes
}
