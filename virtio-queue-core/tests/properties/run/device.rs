//! What the device does, and what it must see.

use core::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use virtio_mem_traits::{Access, DriverRange};
use virtio_queue_core::{
    Armed, ChainError, DescChain, FatalError, Gathered, Head, Piece, Queue, ReturnError, ReturnTo, Token,
};

use super::{Device, Run, Seen, look};
use crate::action::{Action, After, Then};
use crate::model::{Held, Model};
use crate::ring::Make;

/// The device.
impl<R: Make> Run<R> {
    pub(super) fn device_acts(&mut self, action: &Action) {
        match *action {
            Action::Fetch(then) => self.fetch(then),
            Action::Burst(ref thens) => self.burst(thens),
            Action::Serve { limit } => self.serve(limit),
            Action::Gather { limit, writes, keep } => self.gather(limit, writes, keep),
            Action::Complete(at) if !self.held.is_empty() => {
                let held = self.held.remove(at.index(self.held.len()));
                self.complete(held);
            }
            Action::CompleteAll { count, backwards } => self.complete_all(count.index(self.held.len() + 1), backwards),
            Action::PutBack(at) if !self.held.is_empty() => {
                let held = self.held.remove(at.index(self.held.len()));
                self.put_back(held);
            }
            Action::Suppress => {
                self.queue().suppress_notifications();
                (self.model.kicks, self.model.waits) = (false, false);
            }
            Action::Enable => {
                let armed = self.queue().enable_notifications();
                self.armed(armed, 0);
            }
            Action::EnableForMore => {
                let armed = self.queue().enable_notifications_of_more();
                self.armed(armed, self.model.put_back);
            }
            Action::Rebind => {
                let mem = Rc::clone(&self.mem);
                self.queue().replace_mem(mem).unwrap();
            }
            Action::Suspend(after) => self.suspend(after),
            Action::Crash => self.crash(),
            Action::ReturnStale => self.return_stale(),
            _ => {}
        }
    }

    /// A fault is reported once.
    fn report<T>(&mut self, result: Result<T, FatalError>) -> Option<T> {
        result
            .inspect_err(|error| {
                assert!(!self.honest && !self.reported, "{error}");
                self.reported = true;
            })
            .ok()
    }

    fn armed(&mut self, armed: Result<Armed, FatalError>, seen: usize) {
        let Some(armed) = self.report(armed) else { return };
        if self.honest {
            let more = self.model.available.len() > seen;
            assert_eq!(armed, if more { Armed::MoreAvailable } else { Armed::Waiting });
            (self.model.kicks, self.model.waits) = (true, !more);
        }
    }

    fn fetch(&mut self, then: Then) {
        let Self { queue, model, wrote, held, honest, setup, .. } = self;
        let fetched = queue
            .as_mut()
            .unwrap()
            .next_chain()
            .map(|chain| chain.map(|chain| handle(chain, then, model, wrote, held, (*honest, setup.size))));
        if let Some(None) = self.report(fetched) {
            self.found_nothing();
        }
    }

    fn burst(&mut self, thens: &[Then]) {
        let Self { queue, model, wrote, held, honest, setup, .. } = self;
        let mut burst = queue.as_mut().unwrap().burst();
        let mut result = Ok(false);
        for then in thens {
            match burst.next_chain() {
                Ok(Some(chain)) => handle(chain, *then, model, wrote, held, (*honest, setup.size)),
                Ok(None) => result = Ok(true),
                Err(error) => result = Err(error),
            }
            if result != Ok(false) {
                break;
            }
        }
        drop(burst);
        if self.report(result) == Some(true) {
            self.found_nothing();
        }
    }

    fn found_nothing(&mut self) {
        if self.honest {
            self.model.found_nothing();
        }
    }

    fn serve(&mut self, limit: usize) {
        let Self { queue, model, wrote, mem, honest, setup, .. } = self;
        let mut calls = 0;
        let work = |mut seen: Seen, piece: Piece<'_>| {
            seen.element(mem, wrote, piece.range, piece.access);
            Ok::<_, ChainError>(seen)
        };
        let served = queue.as_mut().unwrap().serve(limit, &**mem, Seen::default(), work, |seen| {
            calls += 1;
            let Ok(seen) = seen else { return 0 };
            if *honest {
                let (id, _) = model.fetch();
                seen.check(&model.chains[&id]);
                model.give_back(id, seen.written);
            }
            seen.written
        });
        assert!(calls <= limit.min(setup.size.into()), "{calls} chains of a queue of {}", setup.size);
        if let Some(served) = self.report(served) {
            assert_eq!(served, calls);
            if served < limit && !self.queue().is_broken() {
                self.found_nothing();
            }
        }
    }

    /// Gathers chains, and keeps all of them, or returns all up to the third.
    fn gather(&mut self, limit: usize, writes: bool, keep: bool) {
        let access = if writes { Access::Write } else { Access::Read };
        let (mem, mut chains) = (Rc::clone(&self.mem), Gathered::<8>::new());
        let count = self.queue().gather(limit, &*mem, access, &mut chains);
        if let Some(count) = self.report(count) {
            assert!(count <= limit && count == chains.len());
        }
        let mut fetched: VecDeque<_> = chains.pieces().map(|piece| self.look_at(&piece)).collect();
        if !keep {
            let mut written = fetched.iter().map(|(_, _, seen)| seen.written).take(2);
            let returned = self.queue().complete_gathered(&mut chains, |_| written.next());
            for (id, _, seen) in fetched.drain(..fetched.len() - chains.len()).collect::<Vec<_>>() {
                self.returned(id, seen.written, returned);
            }
        }
        while let (Some(token), Some((_, fetch, seen))) = (chains.pop(), fetched.pop_front()) {
            let Seen { written, writable, .. } = seen;
            self.held.push(Held { id: token.id(), token, fetch, written, writable });
        }
    }

    /// Does the request in the element of a gathered chain. Returns its id and the number of its fetch, if they are
    /// known.
    fn look_at(&mut self, piece: &Piece<'_>) -> (u16, Option<usize>, Seen) {
        let mut seen = Seen::default();
        seen.element(&self.mem, &self.wrote, piece.range, piece.access);
        if !self.honest {
            return (0, None, seen);
        }
        let (id, fetch) = self.model.fetch();
        seen.check(&self.model.chains[&id]);
        (id, Some(fetch), seen)
    }

    /// Checks what became of a chain that was returned.
    fn returned(&mut self, id: u16, written: u32, returned: Result<(), ReturnError>) {
        if self.honest {
            assert_eq!(returned, Ok(()));
            self.model.give_back(id, written);
        }
    }

    fn complete(&mut self, held: Held) {
        let returned = self.queue().complete(held.token, held.written);
        self.returned(held.id, held.written, returned);
    }

    /// Returns the chains that were fetched last, and publishes them together.
    fn complete_all(&mut self, count: usize, backwards: bool) {
        let mut last = self.held.split_off(self.held.len() - count);
        if backwards {
            last.reverse();
        }
        let mut burst = self.queue.as_mut().unwrap().burst();
        let returned: Vec<_> =
            last.into_iter().map(|held| (held.id, held.written, burst.complete(held.token, held.written))).collect();
        drop(burst);
        returned.into_iter().for_each(|(id, written, returned)| self.returned(id, written, returned));
    }

    fn put_back(&mut self, held: Held) {
        let expected = self.model.can_put_back(held.fetch);
        match self.queue().unfetch(held.token) {
            Ok(()) => {
                assert!(!self.honest || expected != Some(false));
                if self.honest {
                    self.model.put_back(held.id);
                }
            }
            Err(refused) => {
                assert!(!self.honest || expected != Some(true), "{:?}", refused.error);
                self.held.push(Held { token: refused.chain, ..held });
            }
        }
    }

    fn suspend(&mut self, after: After) {
        let mut draining = self.queue.take().unwrap().drain();
        let count = if matches!(after, After::Cancel) { self.held.len() / 2 } else { self.held.len() };
        for held in self.held.drain(..count).collect::<Vec<_>>() {
            let returned = draining.complete(held.token, held.written);
            self.returned(held.id, held.written, returned);
        }
        let suspended = match (after, draining.suspend()) {
            (_, Err(draining)) => {
                assert!(!self.honest || !self.held.is_empty());
                return self.queue = Some(draining.cancel());
            }
            (_, Ok(suspended)) => suspended,
        };
        if matches!(after, After::Restore) {
            let (ring, saved) = (R::make(&self.config, Rc::clone(&self.mem)), suspended.save());
            self.restart(Queue::restore(ring, Arc::clone(&self.notifications), &saved).ok());
            return self.model.put_back = 0;
        }
        let resumed = suspended.resume().ok();
        self.restart(resumed);
    }

    /// The device goes on from what was saved. A hostile driver can make that impossible: then the queue is made anew.
    fn restart(&mut self, restarted: Option<(Device<R>, Armed)>) {
        self.reported = false;
        match restarted {
            Some((queue, armed)) => {
                self.queue = Some(queue);
                self.armed(Ok(armed), 0);
            }
            None => {
                assert!(!self.honest);
                let ring = R::make(&self.config, Rc::clone(&self.mem));
                self.queue = Some(Queue::from_ring(ring, Arc::clone(&self.notifications)).unwrap());
            }
        }
    }

    /// A new process adopts what the old one held. A ring that keeps the order can hold more, which is not tried here.
    fn crash(&mut self) {
        if self.setup.kind.keeps_order() || !self.honest {
            return;
        }
        let saved = self.queue().save();
        let ring = R::make(&self.config, Rc::clone(&self.mem));
        self.restart(Queue::restore(ring, Arc::clone(&self.notifications), &saved).ok());
        self.model.fetches.clear();
        self.model.put_back = 0;
        for at in 0..self.held.len() {
            let (id, slots) = (self.held[at].id, self.slots(self.held[at].id) as u16);
            self.held[at].token = self.queue().adopt(Head::new(id, 0, slots)).unwrap();
            self.held[at].fetch = None;
        }
        assert!(self.queue().adopt(Head::new(0, 0, 1)).is_err(), "no more chains were in flight");
    }

    fn return_stale(&mut self) {
        let Some(number) = self.stale.pop() else { return };
        let in_flight = self.queue().in_flight();
        assert!(self.queue().complete(Token::from_u64(number), 1).is_err());
        assert_eq!(self.queue().in_flight(), in_flight);
    }
}

/// Does with a chain that was fetched what an action says.
fn handle<R: Make, T: ReturnTo<R>>(
    chain: DescChain<'_, R, T>,
    then: Then,
    model: &mut Model,
    wrote: &RefCell<Vec<DriverRange>>,
    held: &mut Vec<Held>,
    (honest, size): (bool, u16),
) {
    let id = chain.id();
    let Seen { said, written, writable } = look(&chain, wrote, size.into());
    let mut fetch = None;
    if honest {
        let (expected, number) = model.fetch();
        assert_eq!(id, expected, "chains come in the order of their publication");
        Seen { said, written, writable: Vec::new() }.check(&model.chains[&id]);
        fetch = Some(number);
    }
    let given_back = match then {
        Then::Drop => {
            drop(chain);
            Some(0)
        }
        Then::Return => {
            let returned = chain.return_written(written);
            assert!(!honest || returned.is_ok(), "{returned:?}");
            Some(written)
        }
        Then::Hold => {
            held.push(Held { token: chain.into_token(), id, fetch, written, writable });
            None
        }
        Then::PutBack => {
            let put_back = chain.unfetch();
            if honest {
                assert_eq!(put_back, Ok(()));
                model.put_back(id);
            }
            None
        }
    };
    if let (true, Some(written)) = (honest, given_back) {
        model.give_back(id, written);
    }
}
