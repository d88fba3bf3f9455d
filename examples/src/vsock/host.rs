//! The sockets of the host, and what happens at them.

use core::mem::MaybeUninit;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::greeting::Greeting;
use super::listener::Listener;

/// The most programs that have not said yet what they want. One more, and the one that has waited longest is refused.
pub const MAX_GREETINGS: usize = 64;

/// The most programs that are accepted at a time, and the most events that are taken.
const AT_ONCE: usize = 64;

/// What a socket is known by. It is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(u64);

/// The listener has an id as well.
const LISTENER: Id = Id(0);

/// The sockets of the host, of which the ones with connections are elsewhere.
///
/// Events come once, when something changes. So a socket that cannot be read or written for now causes no work.
#[derive(Debug)]
pub(super) struct Host {
    listener: Arc<Listener>,
    epoll: OwnedFd,
    /// Programs that have not said yet what they want, the oldest first.
    greetings: BTreeMap<Id, UnixStream>,
    /// Whether somebody can wait to be accepted.
    accepting: bool,
    /// What is closed to refuse a program when the system has no file descriptor left.
    spare: Option<OwnedFd>,
    last: Id,
}

/// What has happened.
#[derive(Debug)]
pub(super) enum Happened {
    /// Something has changed at the socket of a connection.
    Changed(Id, Change),
    /// A program wants to be connected to a port of the guest.
    Connect(Id, UnixStream, u32, Change),
}

/// What has changed at a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// There is something to read, or its end.
    pub(super) readable: bool,
    /// There is room.
    pub(super) writable: bool,
    /// The program does not send any more.
    pub(super) ended: bool,
    /// The program is gone.
    pub(super) gone: bool,
}

impl Host {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// If the system has no file descriptor left.
    pub(super) fn new(listener: Arc<Listener>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let spare = Some(epoll.try_clone()?);
        let host = Self { listener, epoll, greetings: BTreeMap::new(), accepting: true, spare, last: LISTENER };
        host.add(&*host.listener, LISTENER)?;
        Ok(host)
    }

    /// Connects to the program of the host that listens for connections to `port`.
    ///
    /// # Errors
    ///
    /// If there is none, or it cannot be reached now.
    pub(super) fn connect(&mut self, port: u32) -> io::Result<(Id, UnixStream)> {
        let (id, socket) = (self.next_id(), self.listener.connect(port)?);
        self.add(&socket, id)?;
        Ok((id, socket))
    }

    /// Asks to be told when there is room in the socket of a connection, or not.
    pub(super) fn watch_output(&self, id: Id, socket: impl AsFd, watch: bool) {
        let flags = if watch { input() | EventFlags::OUT } else { input() };
        // It was added, so that this does not fail.
        let _ = epoll::modify(&self.epoll, socket, EventData::new_u64(id.0), flags);
    }

    /// Puts into `happened` what has happened, and returns whether anything has.
    pub(super) fn poll(&mut self, happened: &mut Vec<Happened>) -> bool {
        let mut room = [const { MaybeUninit::uninit() }; AT_ONCE];
        // It fails if a signal comes. Then the events come the next time.
        let events = epoll::wait(&self.epoll, &mut room, Some(&Timespec::default()));
        let events = events.map(|(events, _)| &*events).unwrap_or_default();
        for event in events {
            let change = Change::new(event.flags);
            match Id(event.data.u64()) {
                LISTENER => self.accepting = true,
                id if self.greetings.contains_key(&id) => happened.extend(self.greet(id, change)),
                id => happened.push(Happened::Changed(id, change)),
            }
        }
        let accepted = self.accepting && self.accept();
        accepted || !events.is_empty()
    }

    /// Accepts programs, and returns whether there were any.
    fn accept(&mut self) -> bool {
        for count in 0..AT_ONCE {
            match self.listener.accept() {
                Ok(Some(socket)) => self.accepted(socket),
                Ok(None) => {
                    self.accepting = false;
                    return count > 0;
                }
                Err(error) if is_out_of_files(&error) && self.refuse_next() => {}
                // It is gone already, or nothing can be done for it now. The next time is soon enough.
                Err(_) => return count > 0,
            }
        }
        true
    }

    /// Refuses the next program, which would not learn otherwise that nobody serves it. Returns whether there was one.
    fn refuse_next(&mut self) -> bool {
        drop(self.spare.take());
        let refused = matches!(self.listener.accept(), Ok(Some(_)));
        self.spare = self.epoll.try_clone().ok();
        refused
    }

    /// Waits for what a program says. If it was said already, this is an event as well.
    fn accepted(&mut self, socket: UnixStream) {
        if self.greetings.len() >= MAX_GREETINGS {
            self.greetings.pop_first();
        }
        let id = self.next_id();
        if self.add(&socket, id).is_ok() {
            self.greetings.insert(id, socket);
        }
    }

    /// Looks at what a program has said.
    fn greet(&mut self, id: Id, change: Change) -> Option<Happened> {
        let greeting = Greeting::read(self.greetings.get(&id)?);
        match greeting {
            // What it has not said until its end, it never says.
            Ok(Greeting::Incomplete) if !change.ended => None,
            Ok(Greeting::Connect(port)) if !change.gone => {
                let socket = self.greetings.remove(&id)?;
                // What comes after the line can be there already.
                Some(Happened::Connect(id, socket, port, Change { readable: true, ..change }))
            }
            _ => {
                self.greetings.remove(&id);
                None
            }
        }
    }

    fn add(&self, socket: impl AsFd, id: Id) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(id.0), input())?)
    }

    const fn next_id(&mut self) -> Id {
        self.last = Id(self.last.0 + 1);
        self.last
    }
}

/// It can be read when something has happened.
impl AsFd for Host {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Change {
    fn new(flags: EventFlags) -> Self {
        let gone = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        let ended = gone || flags.contains(EventFlags::RDHUP);
        Self {
            readable: ended || flags.contains(EventFlags::IN),
            writable: gone || flags.contains(EventFlags::OUT),
            ended,
            gone,
        }
    }
}

/// Returns whether this process, or the system, has no file descriptor left.
fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

fn input() -> EventFlags {
    EventFlags::IN | EventFlags::RDHUP | EventFlags::ET
}
