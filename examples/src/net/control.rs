//! The control queue.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use virtio_chain::{Reader, Writer};
use virtio_queue_core::Chain;
use virtio_vhost_user::Device;

use super::command::{Command, ControlError};
use super::filter::{Filter, MacAddress};
use super::port::Port;
use super::wire::{Ack, rx};

/// What a driver sets by the control queue, for all pairs of a device.
#[derive(Debug)]
pub struct Settings {
    /// The hardware address that the device has if the driver sets no other one.
    address: Option<MacAddress>,
    filter: RwLock<Filter>,
}

impl Settings {
    /// Returns what it is before a driver sets anything, for a device with this hardware address, if it has one.
    #[must_use]
    pub fn new(address: Option<MacAddress>) -> Self {
        Self { address, filter: RwLock::new(Filter::new(address)) }
    }

    /// Returns the hardware address.
    #[must_use]
    pub fn address(&self) -> Option<MacAddress> {
        self.filter().address
    }

    /// Returns which frames the driver wants. It does not change while this is held.
    pub fn filter(&self) -> RwLockReadGuard<'_, Filter> {
        // What is assigned is whole, so a filter is whole also if its writer has panicked.
        self.filter.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Filter)) {
        change(&mut self.filter.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The control queue of a network device: VIRTIO 1.4 §5.1.6.5 "Control Virtqueue".
///
/// It lives as long as its driver uses the control queue. Meanwhile, the device uses one pair of queues until the
/// driver sets their number: VIRTIO 1.4 §5.1.6.5.6 "Automatic receive steering in multiqueue mode". Before and
/// afterwards, it uses those that the front end starts.
#[derive(Debug)]
pub struct ControlQueue<P: Port> {
    settings: Arc<Settings>,
    /// The ports of all pairs.
    ports: Vec<P>,
    features: u64,
}

impl<P: Port> ControlQueue<P> {
    /// Creates the control queue for a driver that accepted `features`, of a device that has a pair of queues for each
    /// of `ports`.
    #[must_use]
    pub fn new(settings: Arc<Settings>, ports: Vec<P>, features: u64) -> Self {
        use_pairs(&ports, 1);
        Self { settings, ports, features }
    }

    fn obey(&self, command: Command) {
        match command {
            Command::Receive(kind, on) => self.settings.change(|filter| *switch(filter, kind) = on),
            Command::SetTables(tables) => {
                self.settings.change(|filter| [filter.unicast, filter.multicast] = *tables);
            }
            Command::SetAddress(address) => self.settings.change(|filter| filter.address = Some(address)),
            // Nobody waits for it here: a front end that asks for announcements answers this queue itself.
            Command::Announced => {}
            Command::UsePairs(pairs) => use_pairs(&self.ports, pairs.into()),
        }
    }

    fn max_pairs(&self) -> u16 {
        u16::try_from(self.ports.len()).unwrap_or(u16::MAX)
    }
}

/// A command is readable, and its answer is one writable byte. A command is obeyed only if there is room for the answer
/// and if it is complete. The used length is 1.
impl<P: Port> Device for ControlQueue<P> {
    type Error = ControlError;

    fn process(&mut self, chain: impl Chain) -> Result<u64, ControlError> {
        let (mut command, mut answer) = (Reader::new(&chain), Writer::new(&chain));
        if answer.remaining()?.bytes == 0 {
            return Err(ControlError::NoAck);
        }
        let read = Command::read(&mut command, self.features, self.max_pairs());
        let len = command.position();
        let result = read.map(|command| self.obey(command));
        let told = answer.write_obj(if result.is_ok() { &Ack::Ok } else { &Ack::Err });
        let written = answer.prefix();
        chain.return_unchecked(written).map_err(|refused| ControlError::Return(refused.error))?;
        told?;
        result.map(|()| len)
    }
}

/// Another driver begins with what this one has found.
impl<P: Port> Drop for ControlQueue<P> {
    fn drop(&mut self) {
        let address = self.settings.address;
        self.settings.change(|filter| *filter = Filter::new(address));
        use_pairs(&self.ports, self.ports.len());
    }
}

/// Lets the ports of the first pairs be used, and no others.
fn use_pairs<P: Port>(ports: &[P], pairs: usize) {
    for (index, port) in ports.iter().enumerate() {
        port.set_used(index < pairs);
    }
}

/// Returns what a command about a kind of frames switches.
fn switch(filter: &mut Filter, kind: u8) -> &mut bool {
    match kind {
        rx::PROMISC => &mut filter.promiscuous,
        rx::ALLMULTI => &mut filter.all_multicast,
        rx::ALLUNI => &mut filter.all_unicast,
        rx::NOMULTI => &mut filter.no_multicast,
        rx::NOUNI => &mut filter.no_unicast,
        _ => &mut filter.no_broadcast,
    }
}
