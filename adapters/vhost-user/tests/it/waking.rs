//! What wakes the thread of a queue beside a kick, and that nothing else does.

use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::task::Poll;
use std::thread;

use adapter_test_support::{PATIENCE, answer};
use virtio_fake_driver::features::{EVENT_IDX, RING_PACKED};
use virtio_queue_core::{Burst, DriverNotify, FatalError, QueueState, Ring};
use virtio_vhost_user::{Serve, Turn, WaitsFor, Worker};

use crate::devices::TestDevice;
use crate::front_end::{FrontEnd, Running};
use crate::shapes::FORMATS;

/// How often something happens in a test.
const TIMES: usize = 200;

/// How often a thread may look for something to do when something has happened once: before it waits, after that, and
/// for the other half of what happened.
const LOOKS: usize = 20;

/// A socket of the device, and a way to say how many bytes came from it.
struct Input {
    socket: UnixStream,
    bytes: Sender<usize>,
    /// How often somebody has looked.
    looks: Arc<AtomicUsize>,
}

impl Input {
    /// Reads all that there is.
    fn drain(&self) {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let mut part = [0; 64];
        loop {
            match (&self.socket).read(&mut part) {
                Ok(0) => return,
                Ok(len) => self.bytes.send(len).unwrap(),
                Err(error) => return assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    }
}

/// Answers the driver, and reads from a socket meanwhile.
struct Either(Input);

impl Serve for Either {
    fn serve_queue<R: Ring, N: DriverNotify>(
        &mut self,
        _place: usize,
        ring: &R,
        state: &mut QueueState<R, N>,
        budget: usize,
    ) -> Result<Turn, FatalError> {
        self.0.drain();
        let mut burst = Burst::new(ring, state);
        let (mut chains, mut waits_for) = (0, WaitsFor::Turn);
        while chains < budget {
            let Some(chain) = burst.next_chain()? else {
                waits_for = WaitsFor::Either;
                break;
            };
            chains += 1;
            answer(chain);
        }
        burst.finish()?;
        Ok(Turn { chains, waits_for })
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.socket.as_fd())
    }
}

/// A future that does so.
fn serving(input: Input) -> Worker {
    let input = Arc::new(input);
    Worker::asynchronous(move |mut chains| {
        let input = Arc::clone(&input);
        chains.wake_on(Some(Arc::new(input.socket.try_clone().unwrap().into())));
        async move {
            loop {
                let next = {
                    let mut chain = std::pin::pin!(chains.next_chain());
                    poll_fn(|context| {
                        input.drain();
                        chain.as_mut().poll(context)
                    })
                    .await
                };
                let Some(chain) = next else { return };
                answer(chain);
            }
        }
    })
}

/// The driver and somebody else want something at the same time, and one after the other. Both get it, and the thread
/// sleeps in between.
#[test]
fn thread_is_woken_by_either_and_by_nothing_else() {
    for make in [(|input| Worker::serve(Either(input))) as fn(Input) -> Worker, serving] {
        for ring in FORMATS {
            let ((socket, mut sender), (bytes, drained)) = (UnixStream::pair().unwrap(), channel());
            socket.set_nonblocking(true).unwrap();
            let looks = Arc::new(AtomicUsize::new(0));
            let input = Input { socket, bytes, looks: Arc::clone(&looks) };
            let input = std::sync::Mutex::new(Some(input));
            let worker = move || input.lock().unwrap().take().map_or_else(|| Worker::deferred(answer), make);
            let back_end = Running::new(TestDevice::new(worker));
            let mut front_end = FrontEnd::new(&back_end, ring);
            let mut driver = front_end.driver(0, 8);
            let signals = front_end.start(0, &driver);
            for round in 0..TIMES {
                // One after the other, in either order.
                if round % 2 == 0 {
                    sender.write_all(b"x").unwrap();
                    assert_eq!(drained.recv_timeout(PATIENCE).unwrap(), 1);
                }
                assert_eq!(signals.ask(&mut driver, "one"), "ONE");
                if round % 2 == 1 {
                    sender.write_all(b"x").unwrap();
                    assert_eq!(drained.recv_timeout(PATIENCE).unwrap(), 1);
                }
            }
            let looked = looks.load(Ordering::Relaxed);
            assert!(looked <= 2 * TIMES * LOOKS, "{looked} looks for {TIMES} times, {ring:#x}");
            // At the same time.
            let writer = thread::spawn(move || {
                (0..TIMES).for_each(|_| sender.write_all(b"x").unwrap());
                sender
            });
            (0..TIMES).for_each(|_| assert_eq!(signals.ask(&mut driver, "two"), "TWO"));
            let mut came = 0;
            while came < TIMES {
                came += drained.recv_timeout(PATIENCE).unwrap();
            }
            let _open = writer.join().unwrap();
        }
    }
}

/// The thread of the queue waits already when it is told what else to wait for.
#[test]
fn event_that_another_thread_names_wakes_as_well() {
    for ring in [0, RING_PACKED | EVENT_IDX] {
        let ((socket, mut sender), (bytes, drained)) = (UnixStream::pair().unwrap(), channel());
        socket.set_nonblocking(true).unwrap();
        let (hands_over, handed_over) = channel();
        let input = Arc::new(Input { socket, bytes, looks: Arc::default() });
        let device = TestDevice::new(move || {
            let (input, hands_over) = (Arc::clone(&input), hands_over.clone());
            Worker::asynchronous(move |chains| {
                let event = Arc::new(input.socket.try_clone().unwrap().into());
                let (mut chains, input, hands_over) = (Some((chains, event)), Arc::clone(&input), hands_over.clone());
                // The first time, it has nothing to wait for: it is not polled again by itself.
                poll_fn(move |_| {
                    match chains.take() {
                        Some(chains) => hands_over.send(chains).unwrap(),
                        None => input.drain(),
                    }
                    Poll::<()>::Pending
                })
            })
        });
        let back_end = Running::new(device);
        let mut front_end = FrontEnd::new(&back_end, ring);
        let driver = front_end.driver(0, 8);
        let _signals = front_end.start(0, &driver);
        let (mut chains, event) = handed_over.recv_timeout(PATIENCE).unwrap();
        // Long enough for the thread to wait, nearly always. If it does not yet, there is nothing to see.
        (0..1000).for_each(|_| thread::yield_now());
        chains.wake_on(Some(event));
        sender.write_all(b"x").unwrap();
        assert_eq!(drained.recv_timeout(PATIENCE).unwrap(), 1);
    }
}
