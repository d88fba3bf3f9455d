//! What a chain is made of.

use core::iter::FusedIterator;

use virtio_mem_traits::{Access, DeviceRange, DriverMem, DriverRange, TranslateError};

use crate::{ChainError, ChainErrorKind};

/// An element of a buffer: memory that the driver lets the device read, or write.
///
/// It is a claim. [`DriverMem::translate`](virtio_mem_traits::DriverMem::translate) with the element's `access` makes
/// it accessible, in one piece or in several.
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

/// A piece of an element, accepted and translated. Most elements are one piece.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// use virtio_queue_core::{DriverMem, Piece, Walk};
///
/// # let mut fixture = SplitFixture::new(16);
/// # let (mem, queue) = (&fixture.mem, &mut fixture.queue);
/// # fixture.driver.add(&DriverChain::new().readable(b"four").readable(b"teen")).unwrap();
/// let chain = queue.next_chain()?.ok_or("nothing is available")?;
/// let mut text = Vec::new();
/// chain.walk().try_fold_pieces(mem, (), |(), piece: Piece<'_>| {
///     let mut bytes = vec![0; piece.memory.len()];
///     mem.before_read(piece.range);
///     piece.memory.read_bytes(0, &mut bytes).map(|()| text.extend(bytes)).map_err(Box::<dyn std::error::Error>::from)
/// })?;
/// assert_eq!(text, b"fourteen");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Piece<'m> {
    /// Where the driver has it. Whoever accesses the memory [reports](DriverMem) that.
    pub range: DriverRange,
    /// Where it is here: as long as the range, and never empty.
    pub memory: DeviceRange<'m>,
    /// [`Access::Read`] for a piece of a device-readable element, [`Access::Write`] for one of a device-writable one.
    pub access: Access,
}

/// A walk along a chain: a fold over its elements, accepted and translated, or an iterator over what they claim to be.
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
/// First come the readable elements, then the writable ones. There are no more of them than the queue's limit allows,
/// and no more than 2^32 bytes. If the chain is malformed, the last item is the error that says how.
///
/// It is a private position. A clone goes its own way and reads the descriptors again, which may have changed by then;
/// every walk is checked by itself, so that changes nothing but what the driver gets.
pub trait Walk: Clone + FusedIterator<Item = Result<Element, ChainError>> {
    /// Returns what the driver knows the chain by: the index of its head, or its Buffer ID.
    fn id(&self) -> u16;

    /// Folds what is left of the chain: calls `work` with what it has returned before, at first `init`, and with each
    /// element as it is in `mem`, piece by piece, until that fails or the chain ends. Returns what `work` has returned
    /// last.
    ///
    /// It does what translating each element of the iterator does, in one operation: this is the fastest way along a
    /// chain. What travels by value through `init` and `work`, rather than in what `work` borrows, can stay in
    /// registers.
    ///
    /// # Errors
    ///
    /// If the chain is malformed, if an element cannot be translated, or if `work` fails. `work` has been called with
    /// what comes before that.
    ///
    /// # Examples
    ///
    /// See [`Piece`] and [`Queue::serve`](crate::Queue::serve).
    #[inline(always)]
    fn try_fold_pieces<'m, M: DriverMem + ?Sized, B, E: From<ChainError>>(
        self,
        mem: &'m M,
        init: B,
        mut work: impl FnMut(B, Piece<'m>) -> Result<B, E>,
    ) -> Result<B, E> {
        let (id, mut state) = (self.id(), init);
        for element in self {
            state = fold_element(id, element?, mem, state, &mut work)?;
        }
        Ok(state)
    }
}

/// A walk after a step, and what was seen.
pub(crate) type Step<W> = (W, Option<Result<Element, ChainError>>);

/// What has come of the part of a chain that is not folded where the fold was asked for.
///
/// PERF: it is a result. Its own type keeps the compiler from building the result of the usual case in memory, where
/// that of a function is that is not inlined (`direct-1-burst-32`).
pub(crate) enum Rest<B, E> {
    Ended(B),
    Failed(E),
}

impl<B, E> From<Result<B, E>> for Rest<B, E> {
    #[inline(always)]
    fn from(result: Result<B, E>) -> Self {
        match result {
            Ok(state) => Self::Ended(state),
            Err(error) => Self::Failed(error),
        }
    }
}

impl<B, E> From<Rest<B, E>> for Result<B, E> {
    #[inline(always)]
    fn from(rest: Rest<B, E>) -> Self {
        match rest {
            Rest::Ended(state) => Ok(state),
            Rest::Failed(error) => Err(error),
        }
    }
}

/// Folds what was seen in a step and all that comes after it, whatever that is.
///
/// PERF: it takes and returns everything by value, so that nothing of the fold before it has an address.
#[cold]
#[inline(never)]
pub(crate) fn fold_rest<'m, W: Walk, M: DriverMem + ?Sized, B, E: From<ChainError>>(
    (rest, seen): Step<W>,
    mem: &'m M,
    init: B,
    mut work: impl FnMut(B, Piece<'m>) -> Result<B, E>,
) -> Rest<B, E> {
    let id = rest.id();
    let mut elements = seen.into_iter().chain(rest);
    elements.try_fold(init, |state, element| fold_element(id, element?, mem, state, &mut work)).into()
}

/// Folds the pieces of an element.
#[inline]
fn fold_element<'m, M: DriverMem + ?Sized, B, E: From<ChainError>>(
    id: u16,
    Element { range, access }: Element,
    mem: &'m M,
    init: B,
    work: &mut impl FnMut(B, Piece<'m>) -> Result<B, E>,
) -> Result<B, E> {
    let (mut rest, mut state) = (range, init);
    while !rest.is_empty() {
        let piece = translate_piece(mem, rest, access);
        let piece = piece.map_err(|error| ChainError { id, kind: ChainErrorKind::Memory(error) })?;
        rest = rest.after(piece.range.len());
        state = work(state, piece)?;
    }
    Ok(state)
}

/// Translates the beginning of a range that is not empty.
#[inline]
fn translate_piece<M: DriverMem + ?Sized>(
    mem: &M,
    range: DriverRange,
    access: Access,
) -> Result<Piece<'_>, TranslateError> {
    let memory = mem.translate(range, access)?.prefix(usize::try_from(range.len()).unwrap_or(usize::MAX));
    if memory.is_empty() {
        return Err(TranslateError::Unmapped { addr: range.start() });
    }
    Ok(Piece { range: range.prefix(memory.len() as u64), memory, access })
}
