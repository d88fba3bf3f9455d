//! A port of any kind.

use std::os::fd::BorrowedFd;

use super::loopback::Loopback;
use super::lost::Lost;
use super::offloads::Offloads;
use super::port::Port;
use super::sink::Sink;
use super::source::Source;
use super::tap::Tap;

/// The port that was chosen when the program was started.
#[derive(Clone, Debug)]
pub enum AnyPort {
    /// Takes everything.
    Sink(Sink),
    /// Has packets of its own.
    Source(Source),
    /// Gives everything back.
    Loopback(Loopback),
    /// Leads to the host.
    Tap(Tap),
}

/// Does the same with a port of each kind.
macro_rules! each {
    ($self:ident, $port:ident => $result:expr) => {
        match $self {
            Self::Sink($port) => $result,
            Self::Source($port) => $result,
            Self::Loopback($port) => $result,
            Self::Tap($port) => $result,
        }
    };
}

impl Port for AnyPort {
    fn accept(&mut self, offloads: Offloads) {
        each!(self, port => port.accept(offloads));
    }

    fn start(&mut self) {
        each!(self, port => port.start());
    }

    fn rest(&mut self) {
        each!(self, port => port.rest());
    }

    fn set_used(&self, used: bool) {
        each!(self, port => port.set_used(used));
    }

    #[inline]
    fn capacity(&self) -> usize {
        each!(self, port => port.capacity())
    }

    #[inline]
    fn room(&mut self) -> &mut [u8] {
        each!(self, port => port.room())
    }

    #[inline]
    fn transmit(&mut self, len: usize) -> Result<(), Lost> {
        each!(self, port => port.transmit(len))
    }

    #[inline]
    fn packets(&mut self) -> usize {
        each!(self, port => port.packets())
    }

    #[inline]
    fn packet(&mut self) -> &mut [u8] {
        each!(self, port => port.packet())
    }

    #[inline]
    fn done(&mut self) {
        each!(self, port => port.done());
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        each!(self, port => port.wake())
    }
}
