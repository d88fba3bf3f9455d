//! Private copies of chains.

use alloc::boxed::Box;
use alloc::vec::Vec;

use virtio_queue_core::{ChainError, Element, Walk};

/// The largest number of elements that needs no allocation. Most chains have a header, one or two pieces of data, and a
/// status.
const FEW: usize = 4;

/// The elements of a chain, read and checked once.
#[derive(Debug)]
pub(crate) enum Elements {
    /// A whole chain, in order, from the first place on.
    Few([Option<Element>; FEW]),
    /// A whole chain.
    Many(Vec<Element>),
    /// The part of a chain before its malformed element, and the error.
    Malformed(Box<(Box<[Element]>, ChainError)>),
}

/// The reason why a chain is not read to its end.
enum Stop {
    Malformed(ChainError),
    Full,
}

impl From<ChainError> for Stop {
    #[cold]
    fn from(error: ChainError) -> Self {
        Self::Malformed(error)
    }
}

impl Elements {
    /// No elements.
    pub(crate) const NONE: Self = Self::Few([None; FEW]);

    /// Reads a chain into `self`, which must be empty, and returns the number of elements. Returns `None` if the chain
    /// has more than `room` elements. Reads at most `room` elements, so that no chain allocates more (KEEP-4, INV-9).
    // PERF: this fills the caller's value, because to move so many bytes costs more than to copy the usual chain
    // (`shared`).
    #[inline(always)]
    pub(crate) fn read(&mut self, mut chain: impl Walk, room: usize) -> Option<usize> {
        let mut len = 0;
        let read = chain.try_for_each(|item| self.push(&mut len, room, item?));
        self.finish(len, read)
    }

    /// Reads a chain from stored elements, as [`read`](Self::read) does.
    pub(crate) fn read_stored(
        &mut self,
        mut chain: impl Iterator<Item = Result<Element, ChainError>>,
        room: usize,
    ) -> Option<usize> {
        let mut len = 0;
        let read = chain.try_for_each(|item| self.push(&mut len, room, item?));
        self.finish(len, read)
    }

    #[inline(always)]
    fn finish(&mut self, len: usize, read: Result<(), Stop>) -> Option<usize> {
        match read {
            Ok(()) => Some(len),
            Err(Stop::Malformed(error)) => {
                self.end(error);
                Some(len)
            }
            Err(Stop::Full) => None,
        }
    }

    /// Adds an element after the first `len` elements, unless `room` is used up.
    #[inline(always)]
    fn push(&mut self, len: &mut usize, room: usize, element: Element) -> Result<(), Stop> {
        if *len == room {
            return Err(Stop::Full);
        }
        match self {
            Self::Few(few) if *len < FEW => few.get_mut(*len).map_or((), |place| *place = Some(element)),
            _ => self.push_one_of_many(element),
        }
        *len += 1;
        Ok(())
    }

    #[inline(never)]
    fn push_one_of_many(&mut self, element: Element) {
        if let Self::Many(many) = self {
            many.push(element);
        } else {
            let mut many = self.take_many();
            many.push(element);
            *self = Self::Many(many);
        }
    }

    /// Ends a malformed chain with its error.
    #[cold]
    fn end(&mut self, error: ChainError) {
        *self = Self::Malformed(Box::new((self.take_many().into_boxed_slice(), error)));
    }

    /// Takes the stored elements into a vector, with room for more.
    fn take_many(&mut self) -> Vec<Element> {
        match core::mem::replace(self, Self::NONE) {
            Self::Many(many) => many,
            Self::Few(few) => {
                let mut many = Vec::with_capacity(4 * FEW);
                many.extend(few.iter().flatten());
                many
            }
            Self::Malformed(chain) => chain.0.into_vec(),
        }
    }

    /// Counts the elements.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(elements) => elements.iter().flatten().count(),
            Self::Many(elements) => elements.len(),
            Self::Malformed(chain) => chain.0.len(),
        }
    }

    /// Returns the element at a place of the chain, or the error there.
    #[inline]
    pub(crate) fn get(&self, place: usize) -> Option<Result<Element, ChainError>> {
        match self {
            Self::Few(elements) => elements.get(place).copied().flatten().map(Ok),
            Self::Many(elements) => elements.get(place).copied().map(Ok),
            Self::Malformed(chain) => match chain.0.get(place) {
                Some(element) => Some(Ok(*element)),
                None => (place == chain.0.len()).then_some(Err(chain.1)),
            },
        }
    }
}
