//! A chain from elsewhere: all that a chain has to be is `Chain`.

use core::cell::Cell;
use core::panic::AssertUnwindSafe;
use std::panic;

use virtio_chain::{IncompleteError, ReadableChain, Reader, Remaining, TransferCause, TransferFailed, WritableChain};
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, TranslateError};
use virtio_queue_core::{Chain, ChainElements, ChainError, ChainErrorKind, Element, Refused, ReturnError};

/// A chain that is a list, in any memory. It is returned by dropping it or by saying so.
struct ListChain<'m> {
    mem: &'m dyn DriverMem,
    elements: &'m [Element],
    /// What was said to be written, once it was.
    returned: &'m Cell<Option<u32>>,
    refuse: bool,
}

impl<'m> ChainElements for ListChain<'m> {
    type Mem = dyn DriverMem + 'm;
    type Place = usize;

    fn id(&self) -> u16 {
        0xffff
    }

    fn mem(&self) -> &Self::Mem {
        self.mem
    }

    fn start(&self) -> usize {
        0
    }

    fn next_element(&self, place: &mut usize) -> Option<Result<Element, ChainError>> {
        let element = self.elements.get(*place)?;
        *place += 1;
        Some(Ok(*element))
    }
}

impl Chain for ListChain<'_> {
    fn return_unchecked(self, written: u32) -> Result<(), Refused<Self, ReturnError>> {
        if self.refuse {
            let chain = Self { refuse: false, ..self };
            return Err(Refused { chain, error: ReturnError::Stale { id: 0xffff } });
        }
        assert_eq!(self.returned.replace(Some(written)), None, "a chain is returned once");
        Ok(())
    }
}

const fn element(addr: u64, len: u64, access: Access) -> Element {
    match DriverRange::new(DriverAddr(addr), len) {
        Some(range) => Element { range, access },
        None => panic!("an element ends at 2^64 at the latest"),
    }
}

/// Lets `device` have a chain of `elements`, and checks what is said to be written at the end.
#[track_caller]
fn check(mem: &dyn DriverMem, elements: &[Element], written: Option<u32>, device: impl for<'a> FnOnce(ListChain<'a>)) {
    let returned = Cell::new(None);
    device(ListChain { mem, elements, returned: &returned, refuse: false });
    assert_eq!(returned.get(), written);
}

fn poke(mem: &HeapMem, addr: u64, bytes: &[u8]) {
    let range = DriverRange::new(DriverAddr(addr), bytes.len() as u64).unwrap();
    mem.translate_all(range, Access::Write).unwrap().write_bytes(0, bytes).unwrap();
}

fn peek<const N: usize>(mem: &HeapMem, addr: u64) -> [u8; N] {
    let range = DriverRange::new(DriverAddr(addr), N as u64).unwrap();
    mem.translate_all(range, Access::Read).unwrap().read(0).unwrap()
}

/// FRAME-4: both halves, and a typed object in each.
#[test]
fn chain_of_another_kind_is_read_and_written() {
    let mem = HeapMem::new(DriverAddr(0x1000), 0x1000).unwrap();
    poke(&mem, 0x1ffa, b"abcdef");
    let elements =
        [element(0x1ffa, 6, Access::Read), element(0x1000, 1, Access::Write), element(0x1001, 3, Access::Write)];
    check(&mem, &elements, Some(3), |chain| {
        let mut chain = ReadableChain::new(chain);
        assert_eq!(chain.id(), 0xffff);
        assert_eq!(chain.remaining(), Ok(Remaining { bytes: 6, descriptors: 1 }));
        assert_eq!(chain.read_obj(), Ok(*b"abcdef"));
        let mut chain = chain.into_writable().unwrap();
        chain.write_all(b"xyz").unwrap();
        let Refused { chain, error } = chain.try_return_complete().unwrap_err();
        assert_eq!(error, IncompleteError::Unwritten(Remaining { bytes: 1, descriptors: 1 }));
        drop(chain);
    });
    assert_eq!(peek(&mem, 0x1000), *b"xyz\0");
}

/// HOST-10: the last byte of the address space. HOST-11: the first.
#[test]
fn element_at_either_end_of_the_address_space_is_accessed() {
    for base in [0, u64::MAX - 0xfff] {
        let mem = HeapMem::new(DriverAddr(base), 0x1000).unwrap();
        let at = if base == 0 { 0 } else { u64::MAX - 7 };
        poke(&mem, at, b"edge");
        let elements = [element(at, 4, Access::Read), element(at + 4, 4, Access::Write)];
        check(&mem, &elements, Some(4), |chain| {
            let mut head = Reader::new(&chain);
            let mut tail = head.split_at(1).unwrap();
            assert_eq!(head.read_obj(), Ok(b'e'));
            assert_eq!(tail.read_obj(), Ok(*b"dge"));
            assert_eq!(tail.read(&mut [0]), Ok(0));
            let mut chain = ReadableChain::new(chain);
            chain.skip(4).unwrap();
            let mut chain = chain.into_writable().unwrap();
            assert_eq!(chain.fill(100, b'.'), Ok(4));
            chain.return_complete().unwrap();
        });
        assert_eq!(peek(&mem, at), *b"edge....");
    }
}

/// A chain that is refused is there again, as it was.
#[test]
fn chain_that_cannot_be_returned_is_handed_back() {
    let mem = HeapMem::new(DriverAddr(0), 0x1000).unwrap();
    let elements = [element(0, 4, Access::Write)];
    check(&mem, &elements, Some(2), |chain| {
        let mut chain = WritableChain::new(ListChain { refuse: true, ..chain });
        chain.write_all(b"ab").unwrap();
        let Refused { chain, error } = chain.try_return_prefix().unwrap_err();
        assert_eq!(error, ReturnError::Stale { id: 0xffff });
        assert_eq!((chain.prefix(), chain.remaining().unwrap().bytes), (2, 2));
        // Its drop tries once more.
    });
    check(&mem, &[], Some(0), |chain| {
        let chain = ReadableChain::new(ListChain { refuse: true, ..chain });
        let Refused { chain, error } = chain.try_return_complete().unwrap_err();
        assert_eq!(error, IncompleteError::Return(ReturnError::Stale { id: 0xffff }));
        chain.return_complete().unwrap();
    });
}

/// The chain's own drop is its own business while nothing was made of it but a reader.
#[test]
fn into_chain_returns_nothing() {
    let mem = HeapMem::new(DriverAddr(0), 0x1000).unwrap();
    check(&mem, &[element(0, 4, Access::Write)], None, |chain| drop(ReadableChain::new(chain).into_chain()));
    check(&mem, &[element(0, 4, Access::Write)], Some(0), |chain| drop(WritableChain::new(chain)));
}

/// Memory that breaks the contract of its trait, one way or another.
struct Careless {
    heap: HeapMem,
    answer: fn(&HeapMem, DriverRange, Access) -> Result<DeviceRange<'_>, TranslateError>,
}

impl DriverMem for Careless {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        (self.answer)(&self.heap, range, access)
    }
}

/// A translation of nothing is a hole, not an end and not an endless loop.
#[test]
fn empty_translation_reported_as_a_hole() {
    let heap = HeapMem::new(DriverAddr(0), 0x1000).unwrap();
    let mem = Careless { heap, answer: |_, _, _| Ok(DeviceRange::empty()) };
    let unmapped = ChainErrorKind::Memory(TranslateError::Unmapped { addr: DriverAddr(8) });
    check(&mem, &[element(8, 4, Access::Read), element(8, 4, Access::Write)], Some(0), |chain| {
        let mut chain = ReadableChain::new(chain);
        assert_eq!(chain.read(&mut [0; 4]), Err(ChainError { id: 0xffff, kind: unmapped }));
        drop(WritableChain::from_incomplete_readable(chain));
    });
}

/// SPLIT-USED-4: a translation for the wrong access is refused, by whatever means the bytes are taken, and nothing
/// counts.
#[test]
fn translation_without_the_access_refused() {
    let heap = HeapMem::new(DriverAddr(0), 0x1000).unwrap();
    let mem = Careless {
        heap,
        answer: |heap, range, access| {
            heap.translate(range, if access == Access::Read { Access::Write } else { Access::Read })
        },
    };
    let denied = |access| {
        let kind = ChainErrorKind::Memory(TranslateError::Denied { addr: DriverAddr(8), access });
        ChainError { id: 0xffff, kind }
    };
    let readable = [element(8, 4, Access::Read)];
    type Read = for<'a> fn(&mut ReadableChain<ListChain<'a>>) -> Option<ChainError>;
    let readers: [Read; 4] = [
        |chain| chain.read(&mut [0; 2]).err(),
        |chain| chain.next_with_limit(2).err(),
        |chain| chain.transfer(2, |_| Err(())).err().and_then(cause),
        |chain| chain.lend(2).err(),
    ];
    for read in readers {
        check(&mem, &readable, None, |chain| {
            let mut chain = ReadableChain::new(chain);
            assert_eq!(read(&mut chain), Some(denied(Access::Read)));
            drop(chain.into_chain());
        });
    }
    let writable = [element(8, 4, Access::Write)];
    type Write = for<'a> fn(&mut WritableChain<ListChain<'a>>) -> Option<ChainError>;
    let writers: [Write; 5] = [
        |chain| chain.write(b"ab").err(),
        |chain| chain.fill(2, 0).err(),
        |chain| chain.next_with_limit(2, |_| Err(())).err().and_then(cause),
        |chain| chain.transfer(2, |_| Err(())).err().and_then(cause),
        |chain| chain.lend(2).err(),
    ];
    for write in writers {
        check(&mem, &writable, Some(0), |chain| {
            let mut chain = WritableChain::new(chain);
            assert_eq!(write(&mut chain), Some(denied(Access::Write)));
            assert_eq!((chain.prefix(), chain.written()), (0, 0));
        });
    }
}

/// Returns what is wrong with the chain, if that is why it failed.
fn cause(failed: TransferFailed<()>) -> Option<ChainError> {
    if let TransferCause::Chain(error) = failed.cause { Some(error) } else { None }
}

/// A translation of more than was asked for does not lead beyond the element.
#[test]
fn translation_of_more_than_the_element_cut_to_it() {
    let heap = HeapMem::new(DriverAddr(0), 0x1000).unwrap();
    poke(&heap, 0, b"0123456789abcdef");
    let mem = Careless {
        heap,
        answer: |heap, range, access| heap.translate(DriverRange::new(range.start(), 0x100).unwrap(), access),
    };
    check(&mem, &[element(4, 2, Access::Read), element(8, 2, Access::Write)], Some(2), |chain| {
        let mut chain = ReadableChain::new(chain);
        let mut buf = [0; 8];
        assert_eq!(chain.read(&mut buf), Ok(2));
        assert_eq!(buf, *b"45\0\0\0\0\0\0");
        let mut chain = chain.into_writable().unwrap();
        assert_eq!(chain.fill(8, b'!'), Ok(2));
    });
    assert_eq!(peek(&mem.heap, 0), *b"01234567!!abcdef");
}

/// What a memory answers at once.
type AtOnce = fn(&HeapMem, DriverAddr, u32, Access) -> Option<DeviceRange<'_>>;

/// Memory that answers at once with something else than it says when it is asked properly.
struct Hasty {
    heap: HeapMem,
    at_once: AtOnce,
}

impl DriverMem for Hasty {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        self.heap.translate(range, access)
    }

    fn translate_at_once(&self, addr: DriverAddr, len: u32, access: Access) -> Option<DeviceRange<'_>> {
        (self.at_once)(&self.heap, addr, len, access)
    }
}

#[test]
fn answer_at_once_that_cannot_be_used_is_as_good_as_none() {
    let answers: [AtOnce; 5] = [
        |_, _, _, _| None,
        |heap, addr, len, access| heap.translate_at_once(addr, len - 1, access),
        |heap, addr, len, access| heap.translate_at_once(addr, len + 1, access),
        |_, _, _, _| Some(DeviceRange::empty()),
        |heap, addr, len, access| {
            let other = if access == Access::Read { Access::Write } else { Access::Read };
            heap.translate_at_once(addr, len, other)
        },
    ];
    for at_once in answers {
        let mem = Hasty { heap: HeapMem::new(DriverAddr(0x1000), 0x1000).unwrap(), at_once };
        poke(&mem.heap, 0x1000, b"abcdefgh");
        check(&mem, &[element(0x1000, 8, Access::Read), element(0x1800, 8, Access::Write)], Some(8), |chain| {
            let mut chain = ReadableChain::new(chain);
            assert_eq!((chain.read_obj(), chain.read_obj()), (Ok(*b"abcd"), Ok(*b"efgh")));
            let mut chain = chain.into_writable().unwrap();
            chain.write_all(b"stuv").unwrap();
            chain.write_all(b"wxyz").unwrap();
            chain.return_complete().unwrap();
        });
        assert_eq!(peek(&mem.heap, 0x1800), *b"stuvwxyz");
    }
}

/// Memory with a mistake in it.
struct Panics(HeapMem);

impl DriverMem for Panics {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        assert!(range.start() != DriverAddr(0x1004), "there is a mistake in the memory");
        self.0.translate(range.prefix(4), access)
    }
}

/// The chain is dropped where it is. A list does nothing then.
#[test]
fn memory_that_panics_leaves_nothing_to_be_read_or_written() {
    let mem = Panics(HeapMem::new(DriverAddr(0x1000), 0x1000).unwrap());
    for access in [Access::Read, Access::Write] {
        check(&mem, &[element(0x1000, 8, access)], None, |chain| {
            let mut readable = ReadableChain::new(chain);
            if access == Access::Read {
                panic::catch_unwind(AssertUnwindSafe(|| readable.read(&mut [0; 8]))).unwrap_err();
                assert_eq!((readable.read(&mut [0; 8]), readable.skip(8)), (Ok(0), Ok(0)));
                assert_eq!(readable.remaining(), Ok(Remaining::default()));
                let mut writable = WritableChain::from_incomplete_readable(readable);
                assert_eq!((writable.write(&[0; 8]), writable.prefix()), (Ok(0), 0));
                assert!(writable.into_chain().is_none());
                return;
            }
            let mut writable = readable.into_writable().unwrap();
            panic::catch_unwind(AssertUnwindSafe(|| writable.write(&[0; 8]))).unwrap_err();
            assert_eq!((writable.write(&[0; 8]), writable.skip(8)), (Ok(0), Ok(0)));
            assert!(writable.into_chain().is_none());
        });
    }
}
