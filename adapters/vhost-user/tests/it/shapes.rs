//! Devices of each shape serve both formats.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::task::Poll;

use adapter_test_support::{PATIENCE, REGIONS, answer, question, wait};
use vhost::VhostBackend;
use virtio_chain::WritableChain;
use virtio_fake_driver::features::{EVENT_IDX, INDIRECT_DESC, RING_PACKED};
use virtio_vhost_user::Worker;

use crate::devices::{TestDevice, all, handing_over};
use crate::front_end::{FrontEnd, Running};

pub(crate) const FORMATS: [u64; 4] = [0, EVENT_IDX, RING_PACKED, RING_PACKED | EVENT_IDX];

#[test]
fn each_shape_answers_in_both_formats() {
    for (name, device) in all() {
        let back_end = Running::new(device);
        for ring in FORMATS.map(|ring| ring | INDIRECT_DESC) {
            let mut front_end = FrontEnd::new(&back_end, ring);
            let mut drivers = [0, 1].map(|index| front_end.driver(index, 8));
            let signals = [0, 1].map(|index| front_end.start(index, &drivers[index]));
            for round in 0..50 {
                for (driver, signals) in drivers.iter_mut().zip(&signals) {
                    let text = format!("{name} {round}");
                    assert_eq!(signals.ask(driver, &text), text.to_uppercase());
                }
            }
        }
    }
}

#[test]
fn each_shape_goes_on_where_it_was_stopped() {
    for (name, device) in all() {
        let back_end = Running::new(device);
        for ring in FORMATS {
            let mut front_end = FrontEnd::new(&back_end, ring);
            let mut driver = front_end.driver(0, 4);
            let mut signals = front_end.start(0, &driver);
            for round in 0..20 {
                let text = format!("{name} {round}");
                assert_eq!(signals.ask(&mut driver, &text), text.to_uppercase());
                let base = front_end.connection.get_vring_base(0).unwrap();
                // Nothing is in flight, so that one half says it all.
                let base = u16::try_from(base & 0xffff).unwrap();
                driver.add(&question("while it is stopped")).unwrap();
                signals = front_end.start_with(0, &driver, base, signals);
                assert_eq!(signals.receive(&mut driver, 1)[0].written(), b"WHILE IT IS STOPPED");
            }
        }
    }
}

#[test]
fn kept_chains_return_in_any_order() {
    for ring in FORMATS {
        let (device, chains, _) = handing_over();
        let back_end = Running::new(device);
        let mut front_end = FrontEnd::new(&back_end, ring);
        let mut driver = front_end.driver(0, 16);
        let signals = front_end.start(0, &driver);
        for text in ["one", "two", "three"] {
            signals.send(&mut driver, &question(text));
        }
        let mut kept: Vec<_> = chains.iter().take(3).collect();
        while let Some(chain) = kept.pop() {
            answer(chain);
        }
        let used = signals.receive(&mut driver, 3);
        let answers: Vec<_> = used.iter().map(|used| used.written()).collect();
        assert_eq!(answers, [&b"THREE"[..], b"TWO", b"ONE"]);
    }
}

/// Without EVENT_IDX, the driver sees at any time whether it has to kick.
#[test]
fn future_that_looks_for_chains_asks_for_no_kicks() {
    for ring in FORMATS {
        let (ends, ended) = channel();
        let device = TestDevice::new(move || {
            let ends = ends.clone();
            Worker::asynchronous(move |mut chains| {
                let ends = ends.clone();
                async move {
                    // The first one comes with a kick, and the others do not.
                    chains.next_chain().await.into_iter().for_each(answer);
                    for _ in 0..2 {
                        loop {
                            if let Some(chain) = chains.try_next() {
                                break answer(chain);
                            }
                            yield_now().await;
                        }
                    }
                    ends.send(()).unwrap();
                    while let Some(chain) = chains.next_chain().await {
                        answer(chain);
                    }
                }
            })
        });
        let back_end = Running::new(device);
        let mut front_end = FrontEnd::new(&back_end, ring);
        let mut driver = front_end.driver(0, 8);
        let signals = front_end.start(0, &driver);
        assert_eq!(signals.ask(&mut driver, "kicked"), "KICKED");
        // The future asks for no kicks from when it has found a chain by itself.
        for text in ["one", "two"] {
            driver.add(&question(text)).unwrap();
            assert!(!driver.needs_kick() || text == "one", "{ring:#x}");
            assert_eq!(signals.receive(&mut driver, 1)[0].written(), text.to_uppercase().as_bytes());
        }
        ended.recv_timeout(PATIENCE).unwrap();
        assert_eq!(signals.ask(&mut driver, "kicked again"), "KICKED AGAIN");
    }
}

/// Lets the thread of the queue see to other things, which calls the future again.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The future has seen the kick, and waits for something else.
#[test]
fn future_is_polled_when_what_it_waits_for_can_be_read() {
    for ring in FORMATS {
        let ((input, mut sender), (polls, polled)) = (UnixStream::pair().unwrap(), channel());
        input.set_nonblocking(true).unwrap();
        let input = Arc::new(input);
        let device = TestDevice::new(move || {
            let (input, polls) = (Arc::clone(&input), polls.clone());
            Worker::asynchronous(move |mut chains| {
                let (input, polls) = (Arc::clone(&input), polls.clone());
                async move {
                    chains.wake_on(Some(Arc::new(input.try_clone().unwrap().into())));
                    while chains.available().await {
                        poll_fn(|_| {
                            let read = (&*input).read(&mut [0]);
                            polls.send(()).unwrap();
                            if read.is_ok() { Poll::Ready(()) } else { Poll::Pending }
                        })
                        .await;
                        chains.next_chain().await.into_iter().for_each(answer);
                    }
                }
            })
        });
        let back_end = Running::new(device);
        let mut front_end = FrontEnd::new(&back_end, ring);
        let mut driver = front_end.driver(0, 8);
        let signals = front_end.start(0, &driver);
        for text in ["one", "two"] {
            signals.send(&mut driver, &question(text));
            polled.recv_timeout(PATIENCE).unwrap();
            sender.write_all(b"x").unwrap();
            assert_eq!(signals.receive(&mut driver, 1)[0].written(), text.to_uppercase().as_bytes());
            polled.try_iter().for_each(drop);
        }
    }
}

/// What can be read keeps no thread busy while the future waits for a chain.
#[test]
fn future_is_not_polled_for_what_it_no_longer_waits_for() {
    for ring in FORMATS {
        let (input, mut sender) = UnixStream::pair().unwrap();
        sender.write_all(b"x").unwrap();
        let (input, polled) = (Arc::new(OwnedFd::from(input)), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&polled);
        let device = TestDevice::new(move || {
            let (input, counter) = (Arc::clone(&input), Arc::clone(&counter));
            Worker::asynchronous(move |mut chains| {
                let (input, counter) = (Arc::clone(&input), Arc::clone(&counter));
                chains.wake_on(Some(input));
                chains.wake_on(None);
                let mut serving = Box::pin(async move {
                    while let Some(chain) = chains.next_chain().await {
                        answer(chain);
                    }
                });
                poll_fn(move |context| {
                    counter.fetch_add(1, Relaxed);
                    serving.as_mut().poll(context)
                })
            })
        });
        let back_end = Running::new(device);
        let mut front_end = FrontEnd::new(&back_end, ring);
        let mut driver = front_end.driver(0, 8);
        let signals = front_end.start(0, &driver);
        for text in ["one", "two", "three"] {
            assert_eq!(signals.ask(&mut driver, text), text.to_uppercase());
        }
        // Once at first, and a few times for each kick.
        assert!(polled.load(Relaxed) <= 20, "{polled:?}");
    }
}

#[test]
fn queue_that_its_driver_breaks_is_told_of_and_can_be_started_again() {
    for (name, device) in all() {
        let back_end = Running::new(device);
        let mut front_end = FrontEnd::new(&back_end, 0);
        let mut driver = front_end.driver(0, 8);
        let signals = front_end.start(0, &driver);
        assert_eq!(signals.ask(&mut driver, name), name.to_uppercase());
        break_split(&front_end);
        signals.kick();
        wait(&signals.error);
        assert_eq!(front_end.connection.get_vring_base(0).unwrap(), 0);
        let mut driver = front_end.driver(0, 8);
        let signals = front_end.start(0, &driver);
        assert_eq!(signals.ask(&mut driver, name), name.to_uppercase());
    }
}

/// Makes the available index of the split ring at the first region nonsense.
pub(crate) fn break_split(front_end: &FrontEnd) {
    use vm_memory::{Bytes, GuestAddress};
    let driver = front_end.driver(1, 8);
    let [descriptors, available, _] = driver.area_addresses().map(|addr| addr.0 - REGIONS[1]);
    assert!(available > descriptors);
    let index = GuestAddress(REGIONS[0] + available + 2);
    front_end.memory.write_obj(1000_u16, index).unwrap();
}

#[test]
fn device_that_panics_harms_its_queue_alone() {
    for shape in [
        || Worker::at_once(|chain| assert!(WritableChain::new(chain).write_all(b"x").is_err(), "on purpose")),
        || Worker::deferred(|chain| assert!(WritableChain::new(chain).write_all(b"x").is_err(), "on purpose")),
    ] {
        let back_end = Running::new(TestDevice::new(shape));
        let mut front_end = FrontEnd::new(&back_end, 0);
        let mut driver = front_end.driver(0, 8);
        let signals = front_end.start(0, &driver);
        signals.send(&mut driver, &question("panic"));
        wait(&signals.error);
        front_end.connection.get_vring_base(0).unwrap();
        drop(front_end);
        back_end.check_serves();
    }
}
