//! `EventFd` and `NotifyThread`.

use core::task::Waker;
use core::time::Duration;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify;
use rustix::io::ioctl_fionbio;
use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
use static_assertions::assert_impl_all;
use tokio::io::unix::AsyncFd;
use virtio_queue_core::DriverNotify;
use virtio_util::{EventFd, NotifyThread};

use crate::driver::{Driver, queue, rings};
use crate::watchdog::Watchdog;

assert_impl_all!(EventFd: AsFd, AsRawFd, From<OwnedFd>, Into<OwnedFd>, Send, Sync);
assert_impl_all!(NotifyThread: Send, Sync);

/// The most that the counter of an eventfd can hold.
const FULL: u64 = u64::MAX - 1;

/// A duplicate, for the other side.
fn duplicate(fd: &impl AsFd) -> OwnedFd {
    fd.as_fd().try_clone_to_owned().unwrap()
}

/// An eventfd in blocking mode, as the other side may have made it, or made of it.
fn blocking() -> OwnedFd {
    eventfd(0, EventfdFlags::empty()).unwrap()
}

#[test]
fn new_counts_until_taken() {
    let signal = EventFd::new().unwrap();
    assert_eq!(signal.take().unwrap(), 0);
    for _ in 0..3 {
        signal.notify();
    }
    assert_eq!(signal.take().unwrap(), 3);
    assert_eq!(signal.take().unwrap(), 0);
}

#[test]
fn converted_signals_the_other_side_and_reads_without_waiting_in_any_mode() {
    let fd = blocking();
    let front_end = EventFd::from(duplicate(&fd));
    let signal = EventFd::from(fd);
    assert_eq!(signal.take().unwrap(), 0);
    signal.notify();
    assert_eq!(front_end.take().unwrap(), 1);
    assert_eq!(signal.take().unwrap(), 0);
    ioctl_fionbio(OwnedFd::from(front_end), true).unwrap();
    assert_eq!(signal.take().unwrap(), 0);
}

#[test]
fn notify_with_full_counter_returns() {
    let signal = EventFd::new().unwrap();
    File::from(duplicate(&signal)).write_all(&FULL.to_ne_bytes()).unwrap();
    signal.notify();
    assert_eq!(signal.take().unwrap(), FULL);
}

#[test]
fn take_of_what_is_no_eventfd_is_an_error() {
    let not_one = EventFd::from(OwnedFd::from(File::open("/dev/null").unwrap()));
    assert!(not_one.take().is_err());
    not_one.notify();
}

/// A front end can send any descriptor. These are in blocking mode, and have nothing to read.
#[test]
fn take_of_what_cannot_be_read_without_waiting_is_an_error() {
    let _watchdog = Watchdog::new();
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::empty()).unwrap();
    let inotify = inotify::init(inotify::CreateFlags::empty()).unwrap();
    let (pipe, _writes) = rustix::pipe::pipe().unwrap();
    let (socket, _other) = UnixStream::pair().unwrap();
    for (what, fd) in [("timer", timer), ("inotify", inotify), ("pipe", pipe), ("socket", socket.into())] {
        let (taken, result) = mpsc::channel();
        thread::spawn(move || taken.send(EventFd::from(fd).take()).unwrap());
        let result = result.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("the {what} blocks"));
        assert!(matches!(&result, Err(_) | Ok(0)), "{what}: {result:?}");
    }
}

#[test]
fn clone_has_the_same_counter() {
    let signal = EventFd::new().unwrap();
    let clone = signal.try_clone().unwrap();
    signal.notify();
    clone.notify();
    assert_eq!((clone.take().unwrap(), signal.take().unwrap()), (2, 0));
}

#[test]
fn full_counter_in_blocking_mode_holds_up_the_notify_thread_alone() {
    let _watchdog = Watchdog::new();
    let fd = blocking();
    let front_end = EventFd::from(duplicate(&fd));
    File::from(duplicate(&fd)).write_all(&FULL.to_ne_bytes()).unwrap();
    let (notified, device) = mpsc::channel();
    thread::spawn(move || {
        let notify = NotifyThread::new(EventFd::from(fd)).unwrap();
        for _ in 0..1_000 {
            notify.notify();
        }
        drop(notify);
        notified.send(()).unwrap();
    });
    device.recv_timeout(Duration::from_secs(20)).expect("the device was held up");
    assert_eq!(front_end.take().unwrap(), FULL);
    // What was held up is delivered once there is room.
    let mut count = 0;
    while count == 0 {
        count = front_end.take().unwrap();
        thread::yield_now();
    }
    assert!((1..=2).contains(&count), "a thousand notifications in one or two, not {count}");
}

/// A notifier that tells of each notification, and whose end can be seen.
struct Told(mpsc::Sender<()>);

impl DriverNotify for Told {
    fn notify(&self) {
        let _ = self.0.send(());
    }
}

#[test]
fn notify_thread_passes_each_round_on_and_ends_with_its_owner() {
    let (sender, told) = mpsc::channel();
    let notify = NotifyThread::new(Told(sender)).unwrap();
    for _ in 0..100 {
        notify.notify();
        told.recv().unwrap();
    }
    notify.notify();
    drop(notify);
    assert_eq!(told.iter().count(), 1, "the last one is passed on, and then the thread ends");
}

/// A notifier that tells of the notification, and is then held up until it is let go.
struct HeldUp(mpsc::Sender<()>, mpsc::Receiver<()>);

impl DriverNotify for HeldUp {
    fn notify(&self) {
        let _ = self.0.send(());
        let _ = self.1.recv();
    }
}

/// As for a front end that holds the thread up, and connects again and again.
#[test]
fn notifiers_replaced_while_the_thread_is_held_up_wait_for_the_same_thread() {
    let ((entered, held_up), (let_go, released)) = (mpsc::channel(), mpsc::channel::<()>());
    let notify = NotifyThread::new(HeldUp(entered, released)).unwrap();
    notify.notify();
    held_up.recv_timeout(Duration::from_secs(20)).expect("the thread does not notify");
    let (sender, unused) = mpsc::channel();
    for _ in 0..100 {
        notify.replace(Told(sender.clone()));
        notify.notify();
    }
    drop(sender);
    let (sender, told) = mpsc::channel();
    notify.replace(Told(sender));
    notify.notify();
    assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Empty));
    drop(let_go);
    told.recv_timeout(Duration::from_secs(20)).expect("the thread is held up still");
    assert_eq!(unused.recv(), Err(mpsc::RecvError), "those between are dropped, and were never notified");
    drop(notify);
    assert_eq!((told.iter().count(), held_up.iter().count()), (0, 0));
}

#[test]
fn waker_made_of_it_signals() {
    let signal = Arc::new(EventFd::new().unwrap());
    let waker = Waker::from(Arc::clone(&signal));
    waker.wake_by_ref();
    waker.wake();
    assert_eq!(signal.take().unwrap(), 2);
}

#[tokio::test]
#[expect(deprecated, reason = "its successor is unsafe, and there is no unsafe code in these tests")]
async fn task_that_waits_for_it_is_woken() {
    let signal = EventFd::new().unwrap();
    let other_side = EventFd::from(duplicate(&signal));
    let signal = AsyncFd::new(signal).unwrap();
    for round in 1..5 {
        (0..round).for_each(|_| other_side.notify());
        signal.readable().await.unwrap().clear_ready();
        assert_eq!(signal.get_ref().take().unwrap(), round);
    }
}

#[test]
fn queue_signals_through_it() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let signal = EventFd::new().unwrap();
    let mut queue = queue(&mem, &signal);
    driver.offer(0);
    drop(queue.next_chain().unwrap().unwrap());
    assert_eq!(signal.take().unwrap(), 1);
}
