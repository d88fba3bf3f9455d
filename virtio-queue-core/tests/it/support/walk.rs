//! Walking along chains, in every way that there is.

use std::sync::OnceLock;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, TranslateError};
use virtio_queue_core::{
    ChainElements, ChainError, DescChain, DriverNotify, Element, Piece, Queue, ReturnTo, Ring, Walk,
};

/// An element as plain values: its address, its length, and whether the device may write it.
pub(crate) type Plain = (u64, u64, bool);

pub(crate) fn plain(element: Element) -> Plain {
    let Element { range, access } = element;
    let write = match access {
        Access::Read => false,
        Access::Write => true,
        Access::ReadWrite => panic!("{range} is neither readable nor writable"),
    };
    (range.start().0, range.len(), write)
}

/// How to walk along a chain.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// As an iterator.
    Loop,
    /// As a fold.
    Fold,
    /// As an iterator for the first element, and as a fold for the others.
    Mixed,
    /// Place by place.
    Step,
}

pub(crate) const WAYS: [Way; 4] = [Way::Loop, Way::Fold, Way::Mixed, Way::Step];

/// Memory that has something at every address, in pieces of odd length: all of them are the same.
pub(crate) struct Everywhere(HeapMem);

impl Everywhere {
    const PIECE: u64 = (1 << 24) + 1;

    pub(crate) fn get() -> &'static Self {
        static EVERYWHERE: OnceLock<Everywhere> = OnceLock::new();
        EVERYWHERE.get_or_init(|| Self(HeapMem::new(DriverAddr(0), Self::PIECE as usize).unwrap()))
    }

    /// Adds a piece to the elements that it is the next part of.
    pub(crate) fn collect(elements: &mut Vec<Plain>, piece: &Piece<'_>) {
        let Piece { range, memory, access } = *piece;
        assert_eq!((memory.len() as u64, memory.access()), (range.len(), access));
        let (start, len, write) = plain(Element { range, access });
        match elements.last_mut() {
            Some(last) if last.1 % Self::PIECE == 0 && (last.0 + last.1, last.2) == (start, write) => last.1 += len,
            _ => elements.push((start, len, write)),
        }
    }
}

impl DriverMem for Everywhere {
    fn translate(&self, asked: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        self.0.translate(self.0.range().prefix(asked.len()), access)
    }
}

/// Walks along a chain, to its end or its error, which is final; in all ways, which are the same.
pub(crate) fn walk<R: Ring, T: ReturnTo<R>>(chain: &DescChain<'_, R, T>) -> (Vec<Plain>, Option<ChainError>) {
    let [found, others @ ..] = WAYS.map(|way| walk_once(chain, way));
    others.iter().for_each(|other| assert_eq!(*other, found));
    found
}

/// Walks along a chain in one way.
pub(crate) fn walk_once<R: Ring, T: ReturnTo<R>>(
    chain: &DescChain<'_, R, T>,
    way: Way,
) -> (Vec<Plain>, Option<ChainError>) {
    let singly = match way {
        Way::Loop => usize::MAX,
        Way::Fold => 0,
        Way::Mixed => 1,
        Way::Step => return step(chain),
    };
    let mut walk = chain.walk();
    let mut elements = Vec::new();
    for element in walk.by_ref().take(singly) {
        match element {
            Ok(element) => elements.push(plain(element)),
            Err(error) => {
                assert_eq!(walk.next(), None, "nothing comes after an error");
                return (elements, Some(error));
            }
        }
    }
    let result = walk.clone().try_fold_pieces(Everywhere::get(), elements.len(), |count, piece| {
        Everywhere::collect(&mut elements, &piece);
        Ok(count + 1)
    });
    let result = result.map(|count| assert!(count >= elements.len(), "the state is what was returned"));
    if singly > elements.len() {
        assert_eq!((result, walk.next()), (Ok(()), None), "a walk that has ended stays so");
    }
    (elements, result.err())
}

/// Walks along a chain place by place.
fn step<R: Ring, T: ReturnTo<R>>(chain: &DescChain<'_, R, T>) -> (Vec<Plain>, Option<ChainError>) {
    let (mut place, mut elements) = (chain.start(), Vec::new());
    let error = loop {
        match chain.next_element(&mut place) {
            Some(Ok(element)) => elements.push(plain(element)),
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    assert_eq!(chain.next_element(&mut place), None, "nothing comes after the end");
    (elements, error)
}

/// Walks along the next chain, which has to be there, and returns it with nothing written.
pub(crate) fn walk_next<R: Ring, N: DriverNotify>(queue: &mut Queue<R, N>) -> (Vec<Plain>, Option<ChainError>) {
    walk(&queue.next_chain().unwrap().expect("a chain is available"))
}
