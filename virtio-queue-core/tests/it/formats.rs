//! What the themes share that know no format.

use virtio_fake_driver::{Fixture, FixtureOptions, QueueFormat, TestMem};
use virtio_mem_traits::DriverMem;
use virtio_queue_core::{Armed, DriverNotify, Element, FatalError, Queue, ReturnError, Ring, Token};

use crate::support::logged;

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

pub(crate) fn start<F: QueueFormat>(size: u16, features: u64) -> Fixture<F> {
    FixtureOptions { size, features, memory_len: 1 << 16, ..Default::default() }.build().unwrap()
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
