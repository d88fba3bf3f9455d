//! Private copies of chains.

use alloc::boxed::Box;
use alloc::vec::Vec;

use virtio_queue_core::{ChainError, Element};

/// How many elements need no allocation. Most chains of most devices are a header, data in one or two pieces, and a status.
const FEW: usize = 4;

/// The elements of a chain, read and checked once.
#[derive(Debug)]
pub(crate) enum Elements {
    /// A whole chain, in its order from the first place on.
    Few([Option<Element>; FEW]),
    /// A whole chain.
    Many(Box<[Element]>),
    /// The part of a chain in front of where it is malformed.
    Malformed(Box<(Box<[Element]>, ChainError)>),
}

impl Elements {
    /// Copies a chain, and counts its elements. Returns `None` if there are more than `room`; no more than that are looked at.
    pub(crate) fn copy(chain: impl Iterator<Item = Result<Element, ChainError>>, room: usize) -> Option<(Self, usize)> {
        let (mut few, mut many, mut len) = ([None; FEW], Vec::new(), 0);
        for item in chain {
            let element = match item {
                Ok(element) => element,
                Err(error) => return Some((Self::malformed(&few, many, error), len)),
            };
            if len == room {
                return None;
            }
            if let Some(place) = few.get_mut(len) {
                *place = Some(element);
            } else {
                push(&few, &mut many, element);
            }
            len += 1;
        }
        Some((if many.is_empty() { Self::Few(few) } else { Self::Many(many.into_boxed_slice()) }, len))
    }

    #[cold]
    fn malformed(few: &[Option<Element>; FEW], mut many: Vec<Element>, error: ChainError) -> Self {
        if many.is_empty() {
            many.extend(few.iter().flatten());
        }
        Self::Malformed(Box::new((many.into_boxed_slice(), error)))
    }

    /// Returns what is at a place of the chain.
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

/// Adds an element to those that `few` has no room for any more.
#[cold]
fn push(few: &[Option<Element>; FEW], many: &mut Vec<Element>, element: Element) {
    if many.is_empty() {
        many.reserve(4 * FEW);
        many.extend(few.iter().flatten());
    }
    many.push(element);
}
