//! A conversation with one front end.

mod announcement;
mod tracking;

use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use vhost::VhostUserMemoryRegionBase;
use vhost::vhost_user::message::{
    VhostTransferStateDirection, VhostTransferStatePhase, VhostUserConfigFlags, VhostUserInflight, VhostUserLog,
    VhostUserMemoryRegion, VhostUserProtocolFeatures, VhostUserShMemConfig, VhostUserSharedMsg,
    VhostUserSingleMemoryRegion, VhostUserVirtioFeatures, VhostUserVringAddrFlags, VhostUserVringState,
};
use vhost::vhost_user::{BackendReqHandler, Error, GpuBackend, Result, VhostUserBackendReqHandlerMut};
use virtio_mem_traits::DriverAddr;
use virtio_queue_core::{RingFeatures, SavedQueue};

use crate::early::Enable;
use crate::event::{Call, event_fd};
use crate::group::Group;
use crate::inflight::Inflight;
use crate::lanes::{MAX_LANES, POLLS};
use crate::log::Log;
use crate::memory::Memory;
use crate::options::Options;
use crate::own_record::OwnRecord;
use crate::patience::Patience;
use crate::report::report;
use crate::sigbus::take_replaced;
use crate::socket::Socket;
use crate::vhost_user_device::VhostUserDevice;
use crate::vring::{Areas, Setup, Vring};

/// The feature bit that belongs to this protocol, and is none of a device's.
const PROTOCOL_FEATURES: u64 = VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits();

/// The feature bit with which a front end asks for a log of all that is written, which is none of a device's either.
const LOG_ALL: u64 = VhostUserVirtioFeatures::LOG_ALL.bits();

/// The feature bit of devices behind an IOMMU.
const ACCESS_PLATFORM: u64 = 1 << 33;

/// What is offered of the protocol, whatever the device.
const OFFERED_BY_ALL: VhostUserProtocolFeatures = VhostUserProtocolFeatures::MQ
    .union(REPLY_ACK)
    .union(VhostUserProtocolFeatures::CONFIG)
    .union(VhostUserProtocolFeatures::RESET_DEVICE)
    .union(VhostUserProtocolFeatures::CONFIGURE_MEM_SLOTS)
    .union(VhostUserProtocolFeatures::INFLIGHT_SHMFD)
    .union(VhostUserProtocolFeatures::LOG_SHMFD);

const REPLY_ACK: VhostUserProtocolFeatures = VhostUserProtocolFeatures::REPLY_ACK;

/// All that one front end has said. When it goes, so do its rings and its memory.
pub(crate) struct Session<'d, D: VhostUserDevice> {
    device: &'d D,
    options: &'d Options,
    socket: &'d Socket,
    /// The features that the driver accepted, and those of them that concern the rings.
    accepted: Option<(u64, RingFeatures)>,
    protocol: VhostUserProtocolFeatures,
    memory: Memory,
    groups: Vec<Group>,
    /// Whether a message could not be answered that must be.
    lost: bool,
    /// Where what is in flight is recorded.
    record: Option<Inflight>,
    /// Where it is recorded if the front end keeps no record.
    own_record: Option<OwnRecord>,
    /// Where the pages are marked that are written, and what is signalled then.
    log: Option<Arc<Log>>,
    log_call: Call,
    /// Whether all pages are, or those of the rings alone that have a log.
    log_all: bool,
}

impl<'d, D: VhostUserDevice> Session<'d, D> {
    /// Begins a conversation in which nothing has been said.
    pub(crate) fn new(device: &'d D, options: &'d Options, socket: &'d Socket) -> Self {
        let (protocol, memory) = (VhostUserProtocolFeatures::empty(), Memory::default());
        let groups = new_groups(device);
        let (accepted, record, own_record, log, log_call) = (None, None, None, None, Call::default());
        let (log_all, lost) = (false, false);
        Self {
            device,
            options,
            socket,
            accepted,
            protocol,
            memory,
            groups,
            lost,
            record,
            own_record,
            log,
            log_call,
            log_all,
        }
    }

    /// Answers the front end until it goes, or says what is no message.
    ///
    /// A message that is refused ends the conversation only if the front end cannot be told of it.
    pub(crate) fn run(self, connection: UnixStream) {
        let ahead = match connection.try_clone() {
            Ok(ahead) => ahead,
            Err(error) => return report(format_args!("a front end cannot be served: {error}")),
        };
        let session = Arc::new(Mutex::new(self));
        converse(&session, connection, &ahead);
        // The front end need not wait for what comes now.
        let _ = ahead.shutdown(Shutdown::Both);
        session.lock().unwrap_or_else(PoisonError::into_inner).end();
    }

    /// Stops all rings.
    fn end(&mut self) {
        let patience = Patience::new(self.socket);
        for group in &mut self.groups {
            if let Err(error) = group.end(&patience) {
                report(format_args!("{error}"));
            }
        }
        self.log_call.settle();
        match take_replaced() {
            0 => {}
            pages => report(format_args!("{pages} pages of memory were not in their files, and were replaced")),
        }
    }

    /// Does what the next message says, if that is to enable a ring before the features are known, and returns whether
    /// it is.
    fn enable_early(&mut self, connection: &UnixStream) -> bool {
        let enable = if self.accepted.is_none() { Enable::take(connection) } else { Ok(None) };
        // If the connection is broken, whoever reads the next message finds that too.
        let Ok(Some(enable)) = enable else { return false };
        let done = self.set_vring_enable(enable.index.get(), enable.enabled == 1);
        let _ = done.as_ref().inspect_err(|error| refuse(error));
        // Whoever did not negotiate answers gets none, whatever it asks for.
        !self.protocol.contains(REPLY_ACK) || enable.answer(connection, done.is_ok()).is_ok()
    }

    /// Returns the features that are offered.
    fn offered(&self) -> u64 {
        self.options.ring_features().bits() | self.device.features() | PROTOCOL_FEATURES | LOG_ALL
    }

    /// Returns the group of the ring `index`, and its place there.
    fn group(&mut self, index: u32) -> Result<(&mut Group, usize)> {
        let count = self.device.num_queues();
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let group = self.groups.get_mut(place / D::QUEUES_PER_WORKER).filter(|_| place < count);
        let group = group.ok_or_else(|| no_such_ring(index, count))?;
        Ok((group, place % D::QUEUES_PER_WORKER))
    }

    /// Returns the features that concern the rings: none are accepted before the driver has accepted any.
    fn ring_features(&self) -> RingFeatures {
        self.accepted.map_or(RingFeatures::VERSION_1, |(_, features)| features)
    }

    fn is_packed(&self) -> bool {
        self.ring_features().contains(RingFeatures::RING_PACKED)
    }

    /// Returns what rings run with, once the features are known.
    fn setup(&self, memory: &Memory) -> Option<Setup> {
        let (accepted, features) = self.accepted?;
        let polls = if self.options.poll { POLLS } else { 0 };
        let own_record = || self.own_record.as_ref().map(|own| own.inflight.clone());
        let (limits, record) = (self.options.limits(), self.record.clone().or_else(own_record));
        let (memory, log, log_all) = (memory.clone(), self.log.clone(), self.log_all);
        Some(Setup { memory, accepted, features, limits, polls, record, log, log_all })
    }

    /// Changes something of a ring, while nothing is fetched from it, and returns what `change` does. It runs from then
    /// on, if all has been said.
    fn change<T>(&mut self, index: u32, change: impl FnOnce(&mut Vring) -> T) -> Result<T> {
        self.open_own_record();
        let (setup, device, patience) = (self.setup(&self.memory), self.device, Patience::new(self.socket));
        let (group, place) = self.group(index)?;
        group.pause(&patience).map_err(Error::ReqHandlerError)?;
        let changed = change(group.vrings().get_mut(place).ok_or(Error::InvalidParam)?);
        if let Some(setup) = setup {
            group.start(Some(place), &setup, device).map_err(Error::ReqHandlerError)?;
        }
        Ok(changed)
    }

    /// Changes something of a ring that may not be running.
    fn set_up(&mut self, index: u32, change: impl FnOnce(&mut Vring)) -> Result<()> {
        let (group, place) = self.group(index)?;
        if group.running().contains(&place) {
            return Err(refused(format!("ring {index} is running")));
        }
        self.change(index, change)
    }

    /// Changes how a ring signals, which it can do while it is running.
    fn set_signal(&mut self, index: u8, set: impl FnOnce(&mut Vring)) -> Result<()> {
        let (group, place) = self.group(index.into())?;
        group.vrings().get_mut(place).map(set).ok_or(Error::InvalidParam)
    }

    /// Gives all rings another memory. Those that are not in it rest until they are.
    fn replace_memory(&mut self, memory: io::Result<Memory>) -> Result<()> {
        let memory = memory.map_err(Error::ReqHandlerError)?;
        if self.is_logging() {
            self.check_log(&memory)?;
        }
        let goes = !self.memory.is_part_of(&memory);
        self.memory = memory;
        let (setup, patience) = (self.setup(&self.memory), Patience::new(self.socket));
        let mut result = Ok(());
        // All of them, whatever becomes of one: none may go on in the memory of before.
        for group in &mut self.groups {
            let paused = group.pause(&patience);
            let paused = paused.and_then(|()| if goes { group.let_memory_go(&patience) } else { Ok(()) });
            let started = setup.as_ref().map_or(Ok(()), |setup| group.start(None, setup, self.device));
            result = result.and(paused).and(started);
        }
        result.map_err(Error::ReqHandlerError)
    }

    /// Stops a ring with nothing in flight, and returns where it is, unless it was never started or is broken.
    fn stop(&mut self, index: u32) -> Result<Option<SavedQueue>> {
        let patience = Patience::new(self.socket);
        let (group, place) = self.group(index)?;
        let stopped = group.pause(&patience).and_then(|()| group.stop(place, &patience));
        stopped.map_err(Error::ReqHandlerError)?;
        if let Some(own) = &self.own_record {
            own.forget(usize::try_from(index).unwrap_or(usize::MAX));
        }
        let (group, place) = self.group(index)?;
        group.has_stopped(place);
        self.change(index, |vring| vring.base)
    }

    /// Returns the indices of all rings, as messages have them.
    fn indices(&self) -> impl Iterator<Item = u32> + use<D> {
        (0..).take(self.device.num_queues())
    }
}

/// Answers a front end until it goes, or says what is no message.
fn converse<D: VhostUserDevice>(session: &Arc<Mutex<Session<'_, D>>>, connection: UnixStream, ahead: &UnixStream) {
    let mut handler = BackendReqHandler::from_stream(connection, Arc::clone(session));
    loop {
        let taken = session.lock().is_ok_and(|mut session| {
            session.enable_early(ahead) || session.takes_log_fd(ahead) || session.takes_rarp(ahead)
        });
        if taken {
            continue;
        }
        let error = match handler.handle_request() {
            Ok(()) => continue,
            // Nothing was received. This process may have signal handlers that interrupt it.
            Err(Error::SocketRetry(error)) if error.kind() == ErrorKind::Interrupted => continue,
            Err(Error::Disconnected | Error::SocketBroken(_)) => return,
            // QEMU enables the rings of a network device before it says which features it accepts, and again
            // afterwards. It does not wait for an answer.
            Err(Error::InactiveFeature(VhostUserVirtioFeatures::PROTOCOL_FEATURES)) => continue,
            Err(error) => error,
        };
        refuse(&error);
        let told = session.lock().is_ok_and(|session| session.protocol.contains(REPLY_ACK) && !session.lost);
        let goes_on = match &error {
            // Front ends that count pairs of queues ask for more than there are. That harms nobody.
            Error::ReqHandlerError(error) => told || error.kind() == ErrorKind::NotFound,
            _ => false,
        };
        if !goes_on {
            return;
        }
    }
}

fn refuse(error: &Error) {
    match error {
        // The front end is not to blame for that.
        Error::ReqHandlerError(error) if error.kind() == ErrorKind::TimedOut => report(format_args!("{error}")),
        Error::ReqHandlerError(error) => report(format_args!("refused what the front end says: {error}")),
        error => report(format_args!("refused what the front end says: {error}")),
    }
}

fn new_groups<D: VhostUserDevice>(device: &D) -> Vec<Group> {
    const { assert!(0 < D::QUEUES_PER_WORKER && D::QUEUES_PER_WORKER <= MAX_LANES) };
    let (count, step) = (device.num_queues(), D::QUEUES_PER_WORKER);
    (0..count).step_by(step).map(|first| Group::new(first, step.min(count - first))).collect()
}

/// A ring that the device does not have.
fn no_such_ring(index: u32, count: usize) -> Error {
    let text = format!("there is no ring {index}: the device has {count}");
    Error::ReqHandlerError(io::Error::new(ErrorKind::NotFound, text))
}

/// A message that makes no sense, and why.
fn refused(reason: impl Into<String>) -> Error {
    Error::ReqHandlerError(io::Error::other(reason.into()))
}

/// What was not offered, and is asked for all the same.
fn not_offered<T>() -> Result<T> {
    Err(Error::InvalidOperation("it was not offered"))
}

impl<D: VhostUserDevice> VhostUserBackendReqHandlerMut for Session<'_, D> {
    fn set_owner(&mut self) -> Result<()> {
        Ok(())
    }

    fn reset_owner(&mut self) -> Result<()> {
        let patience = Patience::new(self.socket);
        let mut result = Ok(());
        for group in &mut self.groups {
            result = result.and(group.pause(&patience));
            group.vrings().iter_mut().for_each(|vring| vring.enabled = false);
        }
        result.map_err(Error::ReqHandlerError)
    }

    fn reset_device(&mut self) -> Result<()> {
        let patience = Patience::new(self.socket);
        let ended: Vec<_> = self.groups.iter_mut().map(|group| group.end(&patience)).collect();
        self.groups = new_groups(self.device);
        self.own_record.take().iter().for_each(OwnRecord::forget_all);
        (self.accepted, self.record, self.log_all) = (None, None, false);
        ended.into_iter().collect::<io::Result<()>>().map_err(Error::ReqHandlerError)
    }

    fn get_features(&mut self) -> Result<u64> {
        Ok(self.offered())
    }

    fn set_features(&mut self, features: u64) -> Result<()> {
        if features & ACCESS_PLATFORM != 0 {
            return Err(refused(
                "ACCESS_PLATFORM (feature bit 33) was not offered: there is no IOMMU here that translates addresses",
            ));
        }
        let own = PROTOCOL_FEATURES | LOG_ALL;
        let [offered, accepted] = [self.offered(), features].map(|features| features & !own);
        let rings = RingFeatures::from_accepted(offered, accepted).map_err(|error| refused(error.to_string()))?;
        let accepted = Some((accepted, rings));
        if self.accepted != accepted {
            if self.groups.iter().any(|group| !group.running().is_empty()) {
                return Err(refused("features cannot change while a ring is running"));
            }
            self.groups.iter_mut().for_each(Group::forget_worker);
            self.own_record = None;
        }
        let log_all = features & LOG_ALL != 0;
        if log_all && !self.log_all {
            self.check_log(&self.memory)?;
        }
        self.accepted = accepted;
        if self.log_all != log_all {
            self.change_log(|session| session.log_all = log_all)?;
        }
        // Who does not know of SET_VRING_ENABLE cannot use it.
        let enabled = features & PROTOCOL_FEATURES == 0;
        let vrings = self.groups.iter_mut().flat_map(Group::vrings);
        vrings.for_each(|vring| vring.enabled |= enabled);
        self.indices().try_for_each(|index| self.change(index, |_| ()))
    }

    fn set_mem_table(
        &mut self,
        regions: &[VhostUserMemoryRegion],
        files: Vec<File>,
        _postcopy_listening: Option<bool>,
    ) -> Result<Option<Vec<VhostUserMemoryRegionBase>>> {
        self.replace_memory(Memory::new(regions, &files)).map(|()| None)
    }

    fn get_max_mem_slots(&mut self) -> Result<u64> {
        Ok(Memory::MAX_REGIONS as u64)
    }

    fn add_mem_region(
        &mut self,
        region: &VhostUserSingleMemoryRegion,
        file: File,
        _postcopy_listening: Option<bool>,
    ) -> Result<Option<VhostUserMemoryRegionBase>> {
        self.replace_memory(self.memory.with(region, &file)).map(|()| None)
    }

    fn remove_mem_region(&mut self, region: &VhostUserSingleMemoryRegion) -> Result<()> {
        self.replace_memory(self.memory.without(region))
    }

    fn set_vring_num(&mut self, index: u32, size: u32) -> Result<()> {
        let limit = self.options.queue_size;
        let size = u16::try_from(size).ok().filter(|size| (1..=limit).contains(size));
        let size = size.ok_or_else(|| refused(format!("the size of a ring is 1 to {limit}")))?;
        self.set_up(index, |vring| vring.size = size)
    }

    fn set_vring_addr(
        &mut self,
        index: u32,
        flags: VhostUserVringAddrFlags,
        descriptor: u64,
        used: u64,
        available: u64,
        log: u64,
    ) -> Result<()> {
        let areas = Areas { descriptor, driver: available, device: used };
        areas.in_guest(&self.memory).map_err(Error::ReqHandlerError)?;
        let log = flags.contains(VhostUserVringAddrFlags::VHOST_VRING_F_LOG).then_some(DriverAddr(log));
        let (group, place) = self.group(index)?;
        let vring = group.vrings().get(place).ok_or(Error::InvalidParam)?;
        if vring.areas != Some(areas) {
            self.set_up(index, |vring| (vring.areas, vring.log) = (Some(areas), log))
        } else if vring.log != log {
            if log.is_some() {
                self.check_log(&self.memory)?;
            }
            self.change_log(|session| session.set_ring_log(index, log))
        } else {
            Ok(())
        }
    }

    fn set_vring_base(&mut self, index: u32, base: u32) -> Result<()> {
        let base = match base {
            // Front ends of DPDK say nothing in the upper half. Nothing is in flight: both positions are the same.
            0..=0xffff if self.is_packed() => base << 16 | base,
            base => base,
        };
        let saved =
            SavedQueue::from_vring_base(base, self.ring_features()).map_err(|error| refused(error.to_string()))?;
        let patience = Patience::new(self.socket);
        let (group, place) = self.group(index)?;
        group.begins_at(place, &saved, &patience).map_err(Error::ReqHandlerError)?;
        self.set_up(index, |vring| vring.base = Some(saved))
    }

    /// Stops the ring as well, until there is another kick for it.
    fn get_vring_base(&mut self, index: u32) -> Result<VhostUserVringState> {
        // A packed ring begins at its first slot, with both wrap counters set.
        let start = if self.is_packed() { 0x8000 } else { 0 };
        let new = SavedQueue::at(start, start, self.ring_features());
        let stopped = match self.stop(index) {
            // One that the device does not have has never begun.
            Err(Error::ReqHandlerError(error)) if error.kind() == ErrorKind::NotFound => {
                report(format_args!("refused what the front end says: {error}"));
                Ok(None)
            }
            stopped => stopped,
        };
        // What has an answer of its own cannot be refused by another, so that this ends the conversation.
        self.lost = stopped.is_err();
        let base = stopped?.unwrap_or(new);
        Ok(VhostUserVringState::new(index, base.vring_base()))
    }

    fn set_vring_kick(&mut self, index: u8, file: Option<File>) -> Result<()> {
        let file = file.ok_or_else(|| refused("a ring without kicks is not supported"))?;
        let kick = event_fd(file).map_err(Error::ReqHandlerError)?;
        self.change(index.into(), |vring| vring.kick = Some(kick))
    }

    fn set_vring_call(&mut self, index: u8, file: Option<File>) -> Result<()> {
        let call = file.map(event_fd).transpose().map_err(Error::ReqHandlerError)?;
        self.set_signal(index, |vring| vring.call.replace(call))
    }

    fn set_vring_err(&mut self, index: u8, file: Option<File>) -> Result<()> {
        let error = file.map(event_fd).transpose().map_err(Error::ReqHandlerError)?;
        self.set_signal(index, |vring| vring.error.replace(error))
    }

    fn set_vring_enable(&mut self, index: u32, enable: bool) -> Result<()> {
        self.change(index, |vring| vring.enabled = enable)
    }

    fn get_protocol_features(&mut self) -> Result<VhostUserProtocolFeatures> {
        Ok(Self::OFFERED)
    }

    fn set_protocol_features(&mut self, features: u64) -> Result<()> {
        let accepted = VhostUserProtocolFeatures::from_bits(features);
        let accepted = accepted.filter(|features| Self::OFFERED.contains(*features));
        // Who accepts what was not offered cannot be told of anything any more.
        self.protocol = accepted.unwrap_or(VhostUserProtocolFeatures::empty());
        accepted.map(drop).ok_or_else(|| refused(format!("protocol features {features:#x} were not offered")))
    }

    /// They are virtqueues, of a network device as well.
    fn get_queue_num(&mut self) -> Result<u64> {
        Ok(self.device.num_queues() as u64)
    }

    /// What the device does not have is zero: a front end may know more fields than the device.
    fn get_config(&mut self, offset: u32, size: u32, _flags: VhostUserConfigFlags) -> Result<Vec<u8>> {
        let all = self.device.config().into_iter().chain(core::iter::repeat(0));
        Ok(all.skip(offset as usize).take(size as usize).collect())
    }

    fn set_config(&mut self, offset: u32, bytes: &[u8], _flags: VhostUserConfigFlags) -> Result<()> {
        let (at, count, len) = (offset as usize, bytes.len(), self.device.config().len());
        if at.checked_add(count).is_none_or(|end| end > len) {
            let text = format!("there are no {count} bytes at {at} of the configuration space: it has {len}");
            return Err(refused(text));
        }
        if self.device.write_config(at, bytes) {
            return Ok(());
        }
        Err(refused(format!("the device does not let {count} bytes at {at} of its configuration space be written")))
    }

    fn set_gpu_socket(&mut self, _socket: GpuBackend) -> Result<()> {
        not_offered()
    }

    fn get_shared_object(&mut self, _uuid: VhostUserSharedMsg) -> Result<File> {
        not_offered()
    }

    fn get_inflight_fd(&mut self, inflight: &VhostUserInflight) -> Result<(VhostUserInflight, File)> {
        // As for GET_VRING_BASE.
        let made = self.make_record(inflight);
        self.lost = made.is_err();
        made
    }

    fn set_inflight_fd(&mut self, inflight: &VhostUserInflight, file: File) -> Result<()> {
        self.go_on_from(inflight, &file)
    }

    fn set_device_state_fd(
        &mut self,
        _direction: VhostTransferStateDirection,
        _phase: VhostTransferStatePhase,
        _file: File,
    ) -> Result<Option<File>> {
        not_offered()
    }

    fn check_device_state(&mut self) -> Result<()> {
        not_offered()
    }

    fn get_shmem_config(&mut self) -> Result<VhostUserShMemConfig> {
        not_offered()
    }

    fn set_log_base(&mut self, log: &VhostUserLog, file: File) -> Result<()> {
        // As for GET_VRING_BASE.
        let changed = self.log_to(log, &file);
        self.lost = changed.is_err();
        changed
    }
}
