//! What the themes share: queues, descriptors written by hand, logs taken apart, and a device.

pub(crate) mod packed;
pub(crate) mod split;
mod walk;

use virtio_fake_driver::split::Descriptor;
use virtio_fake_driver::{
    Driver, DriverChain, Fixture, FixtureOptions, Format, MemEvent, QueueFormat, TestMem, Traffic, TrafficLimits,
    features,
};
use virtio_mem_traits::{Access, DriverAddr, DriverMem, DriverRange, StableMem};
use virtio_queue_core::{
    Armed, ChainError, DescChain, DriverNotify, Element, FatalError, Piece, Queue, QueueConfig, ReturnError, ReturnTo,
    Ring, Token,
};
use virtio_util::NotificationCounter;

pub(crate) use walk::{Everywhere, Plain, WAYS, Way, plain, walk, walk_next, walk_once};

/// Runs a check with each format: as its own type, and chosen when the queue is made.
macro_rules! for_each_format {
    ($check:ident($features:expr $(, $other:expr)*)) => {
        $check::<virtio_fake_driver::Split>($features $(, $other)*);
        $check::<virtio_fake_driver::Packed>($features $(, $other)*);
        $check::<virtio_fake_driver::Any>($features $(, $other)*);
        $check::<virtio_fake_driver::Any>($features | virtio_fake_driver::features::RING_PACKED $(, $other)*);
    };
}

pub(crate) use for_each_format;

pub(crate) const INDIRECT: u64 = features::INDIRECT_DESC;
pub(crate) const EVENT_IDX: u64 = features::EVENT_IDX;
pub(crate) const IN_ORDER: u64 = features::IN_ORDER;

/// The features that change what a ring looks like, in every combination.
pub(crate) const RING_SETS: [u64; 4] = [0, INDIRECT, EVENT_IDX, INDIRECT | EVENT_IDX];

/// An address in every fixture's memory, behind the rings of a queue of up to 256: half of the memory is for buffers
/// and indirect tables that a test writes itself.
pub(crate) const SPACE: u64 = 0x1000_8000;

pub(crate) fn options<F: Format>(size: u16, features: u64) -> FixtureOptions<F> {
    // Little, where that is enough: all of it is zeroed for each fixture.
    let memory_len = if size > 256 { 1 << 21 } else { 1 << 16 };
    FixtureOptions { size, features, memory_len, ..Default::default() }
}

pub(crate) fn start<F: QueueFormat>(size: u16, features: u64) -> Fixture<F> {
    options(size, features).build().unwrap()
}

/// A descriptor of either format, as a test writes it by hand.
pub(crate) trait ByHand: Copy {
    /// Its other field, `next` or the Buffer ID, is absurd.
    fn new(addr: u64, len: u32, flags: u16) -> Self;
}

/// The driver's memory, with descriptors of one format in it.
pub(crate) trait Tables {
    type Descriptor: ByHand;

    fn write(&self, addr: DriverAddr, descriptor: Self::Descriptor);
}

pub(crate) fn readable<D: ByHand>(addr: u64, len: u32) -> D {
    D::new(addr, len, 0)
}

pub(crate) fn writable<D: ByHand>(addr: u64, len: u32) -> D {
    D::new(addr, len, Descriptor::WRITE)
}

/// A reference to an indirect table.
pub(crate) fn table<D: ByHand>(addr: u64, len: u32) -> D {
    D::new(addr, len, Descriptor::INDIRECT)
}

/// Writes descriptors into an indirect table at `addr`.
pub(crate) fn write_table<R: Tables>(raw: &R, addr: u64, descriptors: &[R::Descriptor]) {
    for (offset, descriptor) in (0..).step_by(16).zip(descriptors) {
        raw.write(DriverAddr(addr + offset), *descriptor);
    }
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

/// Fetches a chain, which has to be there.
#[track_caller]
pub(crate) fn fetch<R: Ring, N: DriverNotify>(queue: &mut Queue<R, N>) -> Token {
    queue.next_chain().unwrap().expect("a chain is available").into_token()
}

/// Fetches a chain, writes five bytes to the beginning of its first element, and returns it.
pub(crate) fn write_hello<R: Ring, N: DriverNotify>(queue: &mut Queue<R, N>) {
    let chain = queue.next_chain().unwrap().unwrap();
    let Element { range, access } = chain.walk().next().unwrap().unwrap();
    let range = range.prefix(5);
    chain.mem().translate_all(range, access).unwrap().write_bytes(0, b"hello").unwrap();
    chain.mem().written(range);
    chain.return_written(5).unwrap();
}

/// Checks that a queue is broken for good, and accesses nothing any more whatever is asked of it. The first report was
/// made already if `reported`; `tokens` are in flight.
#[track_caller]
pub(crate) fn check_dead<R: Ring, N: DriverNotify>(
    queue: &mut Queue<R, N>,
    mem: &TestMem,
    fault: FatalError,
    reported: bool,
    tokens: Vec<Token>,
) {
    assert!(queue.is_broken());
    assert_eq!(queue.fault(), Some(fault));
    let refused = Err(ReturnError::Broken(fault));
    let ((), log) = logged(mem, || {
        if !reported {
            assert_eq!(queue.next_chain().unwrap_err(), fault);
        }
        let made_up = [0, 1 << 16].map(Token::from_u64);
        tokens.into_iter().chain(made_up).for_each(|token| assert_eq!(queue.complete(token, 0), refused));
        for _ in 0..3 {
            assert!(queue.next_chain().unwrap().is_none());
            queue.suppress_notifications();
            assert_eq!(queue.enable_notifications(), Ok(Armed::Waiting));
            let mut burst = queue.burst();
            assert!(burst.next_chain().unwrap().is_none());
            assert_eq!(burst.complete(Token::from_u64(1 << 16), 0), refused);
            assert_eq!(burst.flush(), Err(fault));
            assert_eq!(burst.finish(), Err(fault));
            drop(queue.burst());
        }
    });
    assert_eq!(log, []);
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
pub(crate) fn smoke<F: QueueFormat, M: StableMem>(fixture: &mut Fixture<F, M>, count: usize) {
    let Fixture { queue, driver, notifications, .. } = fixture;
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
