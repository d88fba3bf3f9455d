//! A chain as an array: slow, obvious, and without descriptors.

use core::cell::RefCell;
use std::rc::Rc;

use super::script::{Half, ReadOp, Seen, WriteOp};

/// The readable half, or a part of it.
pub(crate) struct ModelReader<'c> {
    pub(crate) bytes: &'c [u8],
    position: usize,
    end: usize,
    /// How often each byte was read.
    pub(crate) reads: Rc<RefCell<Vec<usize>>>,
}

impl<'c> ModelReader<'c> {
    pub(crate) fn new(bytes: &'c [u8]) -> Self {
        let reads = Rc::new(RefCell::new(vec![0; bytes.len()]));
        Self { bytes, position: 0, end: bytes.len(), reads }
    }

    /// Returns the next bytes, of `len` at most.
    fn read(&mut self, len: usize) -> Vec<u8> {
        let range = self.position..self.end.min(self.position + len);
        range.clone().for_each(|index| self.reads.borrow_mut()[index] += 1);
        self.position = range.end;
        self.bytes[range].to_vec()
    }

    fn read_exact(&mut self, len: usize) -> Seen {
        let bytes = self.read(len);
        if bytes.len() < len {
            return Seen::Short { wanted: len as u64, available: bytes.len() as u64 };
        }
        Seen::Bytes(bytes)
    }
}

impl Half for ModelReader<'_> {
    type Op = ReadOp;

    fn step(&mut self, op: &ReadOp, seen: &mut Vec<Seen>) -> bool {
        let what = match *op {
            ReadOp::Read(len) | ReadOp::Pieces(len) => Seen::Bytes(self.read(len)),
            ReadOp::Exact(len) | ReadOp::Object(len) => self.read_exact(len),
            ReadOp::Transfer(len) | ReadOp::Lend(len) => Seen::Bytes(self.read(len as usize)),
            ReadOp::Skip(len) => {
                let start = self.position;
                self.position = self.end.min(start + len as usize);
                Seen::Count((self.position - start) as u64)
            }
            ReadOp::Remaining => Seen::Count((self.end - self.position) as u64),
        };
        let go_on = !matches!(what, Seen::Short { .. });
        seen.extend([what, Seen::Count(self.position as u64)]);
        go_on
    }

    fn split(&mut self, at: u64) -> Result<Self, Seen> {
        let middle = split(self.position, self.end, at)?;
        let tail = Self { position: middle, end: self.end, reads: Rc::clone(&self.reads), ..*self };
        self.end = middle;
        Ok(tail)
    }

    fn join(&mut self, _: Self, _: &mut Vec<Seen>) {}
}

type Byte = (Option<u8>, usize);

/// The writable half, or a part of it.
pub(crate) struct ModelWriter {
    /// What was written, if anything, and how often.
    pub(crate) bytes: Rc<RefCell<Vec<Byte>>>,
    start: usize,
    position: usize,
    end: usize,
    /// The bytes that count as written here.
    counted: Vec<bool>,
}

impl ModelWriter {
    pub(crate) fn new(len: usize) -> Self {
        let bytes = Rc::new(RefCell::new(vec![(None, 0); len]));
        Self { bytes, start: 0, position: 0, end: len, counted: vec![false; len] }
    }

    /// Passes over `len` bytes at most, and writes there what `value` says, if anything.
    fn pass(&mut self, len: usize, value: impl Fn(usize) -> Option<u8>) -> u64 {
        let range = self.position..self.end.min(self.position + len);
        self.position = range.end;
        for (offset, index) in range.clone().enumerate() {
            if let Some(value) = value(offset) {
                let mut bytes = self.bytes.borrow_mut();
                bytes[index] = (Some(value), bytes[index].1 + 1);
                self.counted[index] = true;
            }
        }
        range.len() as u64
    }

    fn pass_all(&mut self, bytes: &[u8]) -> Seen {
        let (wanted, available) = (bytes.len() as u64, self.pass(bytes.len(), |offset| Some(bytes[offset])));
        if available < wanted { Seen::Short { wanted, available } } else { Seen::Count(wanted) }
    }

    /// Returns how many bytes the driver may be told of: none by a part that begins somewhere in the middle.
    pub(crate) fn prefix(&self) -> u32 {
        if self.start == 0 { self.counted.iter().take_while(|counted| **counted).count() as u32 } else { 0 }
    }

    pub(crate) fn written(&self) -> u64 {
        self.counted.iter().filter(|counted| **counted).count() as u64
    }

    fn progress(&self) -> Seen {
        Seen::Progress { prefix: self.prefix(), written: self.written(), position: self.position as u64 }
    }
}

impl Half for ModelWriter {
    type Op = WriteOp;

    fn step(&mut self, op: &WriteOp, seen: &mut Vec<Seen>) -> bool {
        let what = match op {
            WriteOp::Write(bytes) => Seen::Count(self.pass(bytes.len(), |offset| Some(bytes[offset]))),
            WriteOp::All(bytes) => self.pass_all(bytes),
            WriteOp::Object(object) => self.pass_all(&object.to_ne_bytes()),
            WriteOp::Fill(len, value) | WriteOp::Lend(len, value) => {
                Seen::Count(self.pass(*len as usize, |_| Some(*value)))
            }
            WriteOp::Pieces(len, value) => Seen::Count(self.pass(*len, |_| Some(*value))),
            WriteOp::Transfer(len, most, value) => Seen::Count(self.pass((*len).min(*most) as usize, |_| Some(*value))),
            WriteOp::Skip(len) => Seen::Count(self.pass(*len as usize, |_| None)),
            WriteOp::Remaining => Seen::Count((self.end - self.position) as u64),
        };
        seen.push(what);
        seen.push(self.progress());
        true
    }

    fn split(&mut self, at: u64) -> Result<Self, Seen> {
        let middle = split(self.position, self.end, at)?;
        let counted = vec![false; self.counted.len()];
        let tail = Self { bytes: Rc::clone(&self.bytes), start: middle, position: middle, end: self.end, counted };
        self.end = middle;
        Ok(tail)
    }

    fn join(&mut self, tail: Self, seen: &mut Vec<Seen>) {
        if tail.start == self.end {
            (self.position, self.end) = (tail.position, tail.end);
            self.counted.iter_mut().zip(tail.counted).for_each(|(here, there)| *here |= there);
        } else {
            seen.push(Seen::Apart { start: tail.start as u64, end: Some(self.end as u64) });
        }
        seen.push(self.progress());
    }
}

/// Returns the place `at` bytes after `position`, if it is not beyond `end`.
fn split(position: usize, end: usize, at: u64) -> Result<usize, Seen> {
    let middle = position + at as usize;
    if middle > end { Err(Seen::Short { wanted: at, available: (end - position) as u64 }) } else { Ok(middle) }
}
