//! What the themes share: queues, chains written by hand, logs taken apart, and a device.

use std::rc::Rc;
use std::sync::OnceLock;

use virtio_fake_driver::split::{Descriptor, RawSplit, UsedElement};
use virtio_fake_driver::{
    Driver, DriverChain, Format, MemEvent, QueueFormat, SplitFixture, SplitFixtureOptions, TestMem, Traffic,
    TrafficLimits, features,
};
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, StableMem, TranslateError};
use virtio_queue_core::{
    ChainError, DescChain, DriverNotify, Element, FatalError, Piece, Queue, QueueConfig, QueueLimits, ReturnTo, Ring,
    Walk,
};
use virtio_util::NotificationCounter;

pub(crate) const INDIRECT: u64 = features::INDIRECT_DESC;
pub(crate) const EVENT_IDX: u64 = features::EVENT_IDX;

/// An address in every fixture's memory, behind the rings of a queue of up to 256: half of the memory is for buffers
/// and indirect tables that a test writes itself.
pub(crate) const SPACE: u64 = 0x1000_8000;

/// A queue and its driver, and memory that tells tales.
pub(crate) type Fixture = SplitFixture<Rc<TestMem>>;

pub(crate) fn options(size: u16, features: u64) -> SplitFixtureOptions {
    // Little, where that is enough: all of it is zeroed for each fixture.
    let memory_len = if size > 256 { 1 << 20 } else { 1 << 16 };
    SplitFixtureOptions { size, features, memory_len, ..Default::default() }
}

pub(crate) fn fixture(size: u16, features: u64) -> Fixture {
    options(size, features).build().unwrap()
}

/// A fixture whose chains may have other than as many elements as the queue has descriptors.
pub(crate) fn fixture_with_chain_len(size: u16, features: u64, chain_len: Option<u32>) -> Fixture {
    let limits = QueueLimits { chain_len, ..QueueLimits::default() };
    SplitFixtureOptions { limits, ..options(size, features) }.build().unwrap()
}

/// The features that change what a ring looks like, in every combination.
pub(crate) const RING_SETS: [u64; 4] = [0, INDIRECT, EVENT_IDX, INDIRECT | EVENT_IDX];

/// Descriptors by hand. `next` is absurd unless the descriptor is [`linked`].
pub(crate) fn readable(addr: u64, len: u32) -> Descriptor {
    Descriptor { addr: DriverAddr(addr), len, flags: 0, next: u16::MAX }
}

pub(crate) fn writable(addr: u64, len: u32) -> Descriptor {
    Descriptor { flags: Descriptor::WRITE, ..readable(addr, len) }
}

/// A reference to an indirect table.
pub(crate) fn table(addr: u64, len: u32) -> Descriptor {
    Descriptor { flags: Descriptor::INDIRECT, ..readable(addr, len) }
}

pub(crate) fn linked(descriptor: Descriptor, next: u16) -> Descriptor {
    Descriptor { flags: descriptor.flags | Descriptor::NEXT, next, ..descriptor }
}

/// Links descriptors that lie one after the other from index `first` on.
pub(crate) fn in_line(first: u16, descriptors: &[Descriptor]) -> Vec<Descriptor> {
    let end = first + descriptors.len() as u16;
    let link = |(index, descriptor): (u16, &Descriptor)| match index + 1 {
        next if next == end => *descriptor,
        next => linked(*descriptor, next),
    };
    (first..).zip(descriptors).map(link).collect()
}

/// Writes descriptors into the queue's own table, from index 0 on.
pub(crate) fn write_direct(raw: &RawSplit, descriptors: &[Descriptor]) {
    for (index, descriptor) in (0..).zip(descriptors) {
        raw.set_descriptor(index, *descriptor);
    }
}

/// Writes descriptors into an indirect table at `addr`.
pub(crate) fn write_table(raw: &RawSplit, addr: u64, descriptors: &[Descriptor]) {
    for (offset, descriptor) in (0..).step_by(16).zip(descriptors) {
        raw.set_descriptor_at(DriverAddr(addr + offset), *descriptor);
    }
}

/// Makes the chains at `heads` available by one store of the index, whatever they are and whether or not there is room.
pub(crate) fn offer(raw: &RawSplit, heads: &[u16]) {
    let mut index = raw.available_index();
    for head in heads {
        raw.set_available_entry(index % raw.areas().size, *head);
        index = index.wrapping_add(1);
    }
    raw.set_available_index(index);
}

pub(crate) const fn used(id: u32, len: u32) -> UsedElement {
    UsedElement { id, len }
}

/// The used elements at the indices from `first` on, up to the used index.
pub(crate) fn used_since(raw: &RawSplit, first: u16) -> Vec<UsedElement> {
    let count = raw.used_index().wrapping_sub(first);
    (0..count).map(|n| raw.used_element(first.wrapping_add(n) % raw.areas().size)).collect()
}

pub(crate) fn range(addr: u64, len: u64) -> DriverRange {
    DriverRange::new(DriverAddr(addr), len).unwrap()
}

/// Runs `action`, and returns what it returned and the reads and writes that the device made in it.
pub(crate) fn logged<T>(mem: &TestMem, action: impl FnOnce() -> T) -> (T, Vec<MemEvent>) {
    mem.start_log();
    let result = action();
    (result, accesses(&mem.take_log()))
}

/// The reads and writes of a log, without the translations.
pub(crate) fn accesses(log: &[MemEvent]) -> Vec<MemEvent> {
    log.iter().copied().filter(|event| !matches!(event, MemEvent::Translate { .. })).collect()
}

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
}

pub(crate) const WAYS: [Way; 3] = [Way::Loop, Way::Fold, Way::Mixed];

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
        self.0.translate(range(0, asked.len().min(Self::PIECE)), access)
    }
}

/// Serves chains. `work` is told how many bytes are writable in each, or what is wrong with it.
pub(crate) fn serve_chains<R: Ring, N: DriverNotify>(
    queue: &mut Queue<R, N>,
    limit: usize,
    work: impl FnMut(Result<u32, ChainError>) -> u32,
) -> Result<usize, FatalError> {
    let add = |sum, piece: Piece<'_>| Ok(if piece.access.writes() { sum + piece.memory.len() as u32 } else { sum });
    queue.serve(limit, Everywhere::get(), 0, add, work)
}

/// Walks along a chain, to its end or its error, which is final; in all ways, which are the same.
pub(crate) fn walk<R: Ring, T: ReturnTo<R>>(chain: &DescChain<'_, R, T>) -> (Vec<Plain>, Option<ChainError>) {
    let [found, folded, mixed] = WAYS.map(|way| walk_once(chain, way));
    assert_eq!(found, folded);
    assert_eq!(found, mixed);
    found
}

/// Walks along a chain in one way.
pub(crate) fn walk_once<R: Ring, T: ReturnTo<R>>(
    chain: &DescChain<'_, R, T>,
    way: Way,
) -> (Vec<Plain>, Option<ChainError>) {
    let mut walk = chain.walk();
    let mut elements = Vec::new();
    let singly = match way {
        Way::Loop => usize::MAX,
        Way::Fold => 0,
        Way::Mixed => 1,
    };
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

/// Walks along the next chain, which has to be there, and returns it with nothing written.
pub(crate) fn walk_next<R: Ring, N: DriverNotify>(queue: &mut Queue<R, N>) -> (Vec<Plain>, Option<ChainError>) {
    walk(&queue.next_chain().unwrap().expect("a chain is available"))
}

/// What the device of these tests answers: what it was sent, over and over.
pub(crate) fn reply(request: &[u8], len: u64) -> Vec<u8> {
    let endless = request.iter().copied().cycle().chain(core::iter::repeat(0));
    endless.take(len as usize).collect()
}

/// Serves a chain as the device of these tests does, but does not return it; returns how much was written.
pub(crate) fn serve<R: Ring, T: ReturnTo<R>>(chain: &DescChain<'_, R, T>) -> u32 {
    let (elements, error) = walk(chain);
    assert_eq!(error, None);
    let pieces = |writes| elements.iter().filter(move |element| element.2 == writes);
    let mut request = Vec::new();
    for (addr, len, _) in pieces(false) {
        copy(chain.mem(), range(*addr, *len), Access::Read, &mut vec![0; *len as usize], &mut request);
    }
    let len = pieces(true).map(|element| element.1).sum();
    let (mut rest, mut written) = (reply(&request, len), Vec::new());
    for (addr, len, _) in pieces(true) {
        let after = rest.split_off(*len as usize);
        copy(chain.mem(), range(*addr, *len), Access::Write, &mut rest, &mut written);
        rest = after;
    }
    len as u32
}

/// Copies between driver memory, which may be in pieces, and `bytes`; appends them to `done`.
fn copy(mem: &impl DriverMem, range: DriverRange, access: Access, bytes: &mut [u8], done: &mut Vec<u8>) {
    let (mut range, mut rest) = (range, bytes);
    while !range.is_empty() {
        let piece = mem.translate(range, access).unwrap();
        let (part, after) = rest.split_at_mut(piece.len());
        if access.writes() {
            piece.write_bytes(0, part).unwrap();
            mem.written(range.prefix(piece.len() as u64));
        } else {
            mem.before_read(range.prefix(piece.len() as u64));
            piece.read_bytes(0, part).unwrap();
        }
        done.extend_from_slice(part);
        (range, rest) = (range.after(piece.len() as u64), after);
    }
}

/// Random chains that a driver takes, with up to so many elements and bytes each.
pub(crate) fn traffic<F: Format>(driver: &Driver<F>, seed: u64, elements: u16, bytes: u32) -> Traffic {
    let has = |feature| driver.features() & feature != 0;
    let limits = TrafficLimits { elements: elements.min(driver.size()), bytes, indirect: has(INDIRECT) };
    let traffic = Traffic::new(seed, limits);
    if has(features::RING_PACKED) { traffic.without_mixed_chains() } else { traffic }
}

/// Runs some random chains through a queue, one after the other, with a kick and an interrupt for each.
pub(crate) fn smoke<F: QueueFormat, M: StableMem>(fixture: &mut virtio_fake_driver::Fixture<F, M>, count: usize) {
    let virtio_fake_driver::Fixture { queue, driver, notifications, .. } = fixture;
    for chain in traffic(driver, 1, 8, 64).take(count) {
        one_chain(queue, driver, notifications, &chain);
    }
}

/// Runs one chain through a queue that has nothing else to do.
pub(crate) fn one_chain<R: Ring, N: DriverNotify, F: Format>(
    queue: &mut Queue<R, N>,
    driver: &mut Driver<F>,
    notifications: &NotificationCounter,
    chain: &DriverChain,
) {
    assert!(queue.next_chain().unwrap().is_none());
    let id = driver.add(chain).unwrap();
    assert!(driver.needs_kick(), "the device waits");

    let fetched = queue.next_chain().unwrap().expect("a chain is available");
    assert_eq!(fetched.id(), id);
    let written = serve(&fetched);
    fetched.return_written(written).unwrap();

    assert_eq!(notifications.take(), 1, "the driver waits");
    let used = driver.reap().unwrap().expect("the buffer is used");
    assert_eq!((used.id, u64::from(used.len)), (id, chain.writable_len()));
    assert_eq!(used.written(), reply(&chain.readable_bytes(), chain.writable_len()));
    assert_eq!(driver.reap(), Ok(None));
}

/// Returns `config` with a change.
pub(crate) fn with(mut config: QueueConfig, change: impl FnOnce(&mut QueueConfig)) -> QueueConfig {
    change(&mut config);
    config
}
