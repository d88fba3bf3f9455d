//! `BufferedNotify` and `NotificationCounter`.

use std::thread;

use virtio_queue_core::DriverNotify;
use virtio_util::{BufferedNotify, NotificationCounter};

use crate::driver::{Driver, queue, rings};
use crate::watchdog::Watchdog;

#[test]
fn counter_counts_until_taken() {
    let counter = NotificationCounter::new();
    assert_eq!(counter.count(), 0);
    for expected in 1..=3 {
        counter.notify();
        assert_eq!(counter.count(), expected);
    }
    assert_eq!(counter.take(), 3);
    assert_eq!(counter.take(), 0);
    counter.notify();
    assert_eq!(counter.count(), 1);
}

#[test]
fn buffered_with_nothing_pending_passes_nothing_on() {
    let counter = NotificationCounter::new();
    let buffered = BufferedNotify::new(&counter);
    buffered.flush();
    drop(buffered);
    assert_eq!(counter.count(), 0);
}

#[test]
fn buffered_flush_passes_one_on_for_many() {
    let counter = NotificationCounter::new();
    let buffered = BufferedNotify::new(&counter);
    for round in 1..=3 {
        for _ in 0..5 {
            buffered.notify();
        }
        assert_eq!(counter.count(), round - 1);
        buffered.flush();
        buffered.flush();
        assert_eq!(counter.count(), round);
    }
}

#[test]
fn buffered_drop_passes_on_what_is_pending() {
    let counter = NotificationCounter::new();
    let buffered = BufferedNotify::new(&counter);
    buffered.notify();
    drop(buffered);
    assert_eq!(counter.count(), 1);
}

#[test]
fn buffered_notified_during_a_flush_passes_it_on_next_time() {
    /// Counts, and during the first notification asks for one more.
    struct Echo;

    impl DriverNotify for Echo {
        fn notify(&self) {
            COUNTER.notify();
            if COUNTER.count() == 1 {
                BUFFERED.notify();
            }
        }
    }

    static COUNTER: NotificationCounter = NotificationCounter::new();
    static BUFFERED: BufferedNotify<Echo> = BufferedNotify::new(Echo);

    BUFFERED.notify();
    for expected in [1, 2, 2] {
        BUFFERED.flush();
        assert_eq!(COUNTER.count(), expected);
    }
}

#[test]
fn buffered_notified_from_threads_passes_every_round_on() {
    let _watchdog = Watchdog::new();
    let counter = NotificationCounter::new();
    let buffered = BufferedNotify::new(&counter);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    buffered.notify();
                    buffered.flush();
                }
            });
        }
    });
    assert!((1..=400).contains(&counter.count()));
    counter.take();
    buffered.flush();
    assert_eq!(counter.count(), 0);
}

#[test]
fn buffered_lent_to_a_queue_gathers_its_notifications() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let counter = NotificationCounter::new();
    let buffered = BufferedNotify::new(&counter);
    let mut queue = queue(&mem, &buffered);
    for id in 0..3 {
        driver.offer(id);
    }
    while let Some(chain) = queue.next_chain().unwrap() {
        chain.return_written(0).unwrap();
    }
    assert_eq!((driver.used().len(), counter.count()), (3, 0));
    buffered.flush();
    assert_eq!(counter.count(), 1);
}
