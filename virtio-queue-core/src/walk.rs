//! Elements, pieces, and walks along chains.

use core::iter::FusedIterator;

use virtio_mem_traits::{Access, DeviceRange, DriverMem, DriverRange, TranslateError};

use crate::error::{ChainError, ChainErrorKind};

/// An element of a buffer: memory that the device can read, or memory that it can write.
///
/// An element is a claim of the driver. Call [`DriverMem::translate`](virtio_mem_traits::DriverMem::translate) with its
/// `access` to get the memory, in one piece or in several.
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
    /// The range of the element. It is never empty, because elements without bytes are left out (HOST-14).
    pub range: DriverRange,
    /// [`Access::Read`] for a device-readable element, [`Access::Write`] for a device-writable one.
    pub access: Access,
}

/// A translated piece of an element. Most elements have one piece.
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
    /// The range of the piece in the driver's memory. Code that accesses the memory must [report](DriverMem) the
    /// access.
    pub range: DriverRange,
    /// The memory of the piece. It is as long as the range, and never empty.
    pub memory: DeviceRange<'m>,
    /// [`Access::Read`] for a piece of a device-readable element, [`Access::Write`] for one of a device-writable one.
    pub access: Access,
}

/// A walk along the elements of a chain.
///
/// The fold [`try_fold_pieces`](Self::try_fold_pieces) checks and translates each element. As an iterator, the walk
/// yields the elements without translating them.
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
/// The readable elements come first, then the writable ones. The number of elements is at most the queue's limit, and
/// they have at most 2^32 bytes together. If the chain is malformed, the last item is the error (INV-12).
///
/// A walk has its own position. A clone reads the descriptors again, and the driver can change them meanwhile. Each
/// walk reads a descriptor once, and checks all that it reads, so such a change harms only the driver (HOST-20,
/// DRV-BAR-1, DRV-PBAR-1, DRV-PDESC-2, DRV-PSG-4).
pub trait Walk: Clone + FusedIterator<Item = Result<Element, ChainError>> {
    /// Returns the id of the chain: the index of its head in a split ring, its Buffer ID in a packed ring.
    fn id(&self) -> u16;

    /// Folds the rest of the chain, and returns the last value of `work`.
    ///
    /// Each element is translated in `mem`. `work` is called once for each piece, with the value that it returned
    /// before. The first value is `init`. The fold ends with the chain or with the first error.
    ///
    /// This is the fastest way along a chain. A value that passes through `init` and `work` can stay in registers. A
    /// variable that `work` borrows cannot.
    ///
    /// # Errors
    ///
    /// If the chain is malformed, if an element cannot be translated, or if `work` fails. `work` was called for all
    /// pieces before that.
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

/// A walk after a step, and the item that the step found.
pub(crate) type Step<W> = (W, Option<Result<Element, ChainError>>);

/// The result of folding the rest of a chain in a separate function.
///
/// PERF: it means the same as a `Result`. A type of its own lets the compiler keep the result of the usual case in
/// registers, because the result of a function that is not inlined is in memory (`direct-1-burst-32`).
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

/// Folds the item of a step, and the rest of the chain.
///
/// PERF: it takes and returns everything by value, so that no variable of the fold before it needs an address.
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
