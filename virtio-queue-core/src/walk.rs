//! What a chain is made of.

use core::iter::FusedIterator;

use virtio_mem_traits::{Access, DriverRange};

use crate::ChainError;

/// An element of a buffer: memory that the driver lets the device read, or write.
///
/// It is a claim. [`DriverMem::translate`](virtio_mem_traits::DriverMem::translate) with the element's `access` makes it
/// accessible, in one piece or in several.
///
/// ```
/// use virtio_queue_core::{Access, DriverAddr, DriverRange, Element};
///
/// let range = DriverRange::new(DriverAddr(0x1000), 16).ok_or("beyond 2^64")?;
/// let header = Element { range, access: Access::Read };
/// assert_eq!(header.range.len(), 16);
/// # Ok::<_, &str>(())
/// ```
#[doc(alias = "desc")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// Where it is. Never empty: elements without bytes are left out (HOST-14).
    pub range: DriverRange,
    /// [`Access::Read`] for a device-readable element, [`Access::Write`] for a device-writable one.
    pub access: Access,
}

/// A walk along a chain: an iterator over its elements.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let queue = &mut fixture.queue;
/// # let driver = &mut fixture.driver;
/// # driver.add(&DriverChain::new().readable(b"four").writable(8)).unwrap();
/// let chain = queue.next_chain()?.ok_or("nothing is available")?;
/// let elements = chain.walk().collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(elements.len(), 2);
/// # drop(chain);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// First come the readable elements, then the writable ones. There are no more of them than the queue's limit allows, and
/// no more than 2^32 bytes. If the chain is malformed, the last item is the error that says how.
///
/// It is a private position. A clone goes its own way and reads the descriptors again, which may have changed by then;
/// every walk is checked by itself, so that changes nothing but what the driver gets.
pub trait Walk: Clone + FusedIterator<Item = Result<Element, ChainError>> {
    /// Calls `work` with each element, until that fails or the chain ends. It does what a `for` loop does, and is faster where the
    /// walk can keep to itself what does not change from one element to the next.
    ///
    /// # Errors
    ///
    /// If the chain is malformed, or if `work` fails.
    #[inline(always)]
    fn try_each<E: From<ChainError>>(self, mut work: impl FnMut(Element) -> Result<(), E>) -> Result<(), E> {
        for element in self {
            work(element?)?;
        }
        Ok(())
    }
}

/// A walk after a step, and what was seen.
pub(crate) type Step<W> = (W, Option<Result<Element, ChainError>>);

/// Calls `work` with what was seen in a step, and with what comes after it, for walks that are on their own from there.
#[inline(always)]
pub(crate) fn finish<W: Walk, E: From<ChainError>>(
    (mut walk, mut item): Step<W>,
    work: &mut impl FnMut(Element) -> Result<(), E>,
) -> Result<(), E> {
    loop {
        if let Some(element) = item {
            work(element?)?;
        }
        item = walk.next();
        if item.is_none() {
            return Ok(());
        }
    }
}
