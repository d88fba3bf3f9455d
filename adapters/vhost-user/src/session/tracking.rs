//! What a front end says of the record of what is in flight, and of the log of dirty pages.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use vhost::vhost_user::message::{VhostUserInflight, VhostUserLog};
use vhost::vhost_user::{Error, Result};
use virtio_mem_traits::DriverAddr;
use virtio_queue_core::RingFeatures;

use super::{REPLY_ACK, Session, refuse, refused};
use crate::early::SetLogFd;
use crate::event::event_fd;
use crate::group::Group;
use crate::inflight::Inflight;
use crate::log::Log;
use crate::memory::Memory;
use crate::own_record::{Header, OwnRecord};
use crate::patience::Patience;
use crate::report::report;
use crate::vhost_user_device::VhostUserDevice;

impl<D: VhostUserDevice> Session<'_, D> {
    /// Makes a file in which is recorded what is in flight, for the front end to keep.
    pub(super) fn make_record(&self, inflight: &VhostUserInflight) -> Result<(VhostUserInflight, File)> {
        let (queues, size) = self.recordable(inflight)?;
        let (file, len) = Inflight::create(queues, size).map_err(Error::ReqHandlerError)?;
        Ok((VhostUserInflight::new(len, 0, queues, size), file))
    }

    /// Lets rings go on from what is recorded in a file, from when they start.
    pub(super) fn go_on_from(&mut self, inflight: &VhostUserInflight, file: &File) -> Result<()> {
        let (queues, size) = self.recordable(inflight)?;
        if self.groups.iter().any(|group| !group.running().is_empty()) {
            return Err(refused("what is in flight cannot be recorded elsewhere while a ring is running"));
        }
        let record = Inflight::map(file, inflight.mmap_offset, inflight.mmap_size, queues, size);
        self.record = Some(record.map_err(Error::ReqHandlerError)?);
        Ok(())
    }

    /// Records in a file what is in flight in packed rings, if that is wanted, the front end keeps no record, and
    /// enough is known.
    pub(super) fn open_own_record(&mut self) {
        let (None, None, Some(path)) = (&self.record, &self.own_record, &self.options.record) else { return };
        let (Some((features, rings)), Some(memory)) = (self.accepted, self.memory.identity()) else { return };
        if !rings.contains(RingFeatures::RING_PACKED) {
            return;
        }
        let queues = u16::try_from(self.device.num_queues()).unwrap_or(u16::MAX);
        let header = Header::new(memory, features, queues, self.options.queue_size);
        match OwnRecord::open(path, &header) {
            Ok(own) => self.own_record = Some(own),
            Err(error) => report(format_args!("nothing is recorded in {}: {error}", path.display())),
        }
    }

    /// Marks pages in another log from now on.
    pub(super) fn log_to(&mut self, log: &VhostUserLog, file: &File) -> Result<()> {
        let log = Log::map(file, log.mmap_offset, log.mmap_size, self.memory.end(), self.log_call.clone());
        let log = Arc::new(log.map_err(Error::ReqHandlerError)?);
        self.change_log(|session| session.log = Some(log))
    }

    /// Returns whether pages are marked.
    pub(super) fn is_logging(&self) -> bool {
        self.log_all || self.groups.iter().any(Group::is_logged)
    }

    /// Checks that a log has a bit for each page of a memory that rings write to. While none runs, the front end may
    /// still be about to name another log.
    pub(super) fn check_log(&self, memory: &Memory) -> Result<()> {
        let runs = self.groups.iter().any(|group| !group.running().is_empty());
        let log = self.log.as_ref().filter(|_| runs);
        log.map_or(Ok(()), |log| log.check(memory.end())).map_err(Error::ReqHandlerError)
    }

    /// Changes how what is written is marked, while nothing is in flight: what is in flight would be marked as before.
    pub(super) fn change_log(&mut self, change: impl FnOnce(&mut Self)) -> Result<()> {
        let patience = Patience::new(self.socket);
        let mut result = Ok(());
        for group in &mut self.groups {
            result = result.and(group.rest(&patience));
        }
        change(self);
        let setup = self.setup(&self.memory);
        for group in &mut self.groups {
            result = result.and(setup.as_ref().map_or(Ok(()), |setup| group.start(None, setup, self.device)));
        }
        result.map_err(Error::ReqHandlerError)
    }

    pub(super) fn set_ring_log(&mut self, index: u32, log: Option<DriverAddr>) {
        if let Ok((group, place)) = self.group(index) {
            group.vrings().iter_mut().skip(place).take(1).for_each(|vring| vring.log = log);
        }
    }

    /// Does what the next message says, if that is to signal an eventfd when pages were marked, and returns whether it
    /// is.
    pub(super) fn takes_log_fd(&mut self, connection: &UnixStream) -> bool {
        let Ok(Some(mut message)) = SetLogFd::take(connection) else { return false };
        let event = message.file.take().map(event_fd).transpose().map_err(Error::ReqHandlerError);
        let done = event.map(|event| self.log_call.replace(event)).inspect_err(refuse);
        !self.protocol.contains(REPLY_ACK) || message.answer(connection, done.is_ok()).is_ok()
    }

    /// Returns how many rings the record of a front end can be for, and their size.
    fn recordable(&self, inflight: &VhostUserInflight) -> Result<(u16, u16)> {
        let (queues, size) = (inflight.num_queues, inflight.queue_size);
        let (count, limit) = (self.device.num_queues(), self.options.queue_size);
        if usize::from(queues) <= count && size <= limit {
            return Ok((queues, size));
        }
        Err(refused(format!("{queues} rings of {size} cannot be recorded: there are {count} of at most {limit}")))
    }
}
