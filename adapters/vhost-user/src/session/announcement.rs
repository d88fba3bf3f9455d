//! What a front end says after a migration.

use std::os::unix::net::UnixStream;

use vhost::vhost_user::message::VhostUserProtocolFeatures;

use super::{OFFERED_BY_ALL, REPLY_ACK, Session};
use crate::early::SendRarp;
use crate::vhost_user_device::VhostUserDevice;

const RARP: VhostUserProtocolFeatures = VhostUserProtocolFeatures::RARP;

impl<D: VhostUserDevice> Session<'_, D> {
    /// What is offered of the protocol.
    pub(super) const OFFERED: VhostUserProtocolFeatures =
        if D::ANNOUNCES { OFFERED_BY_ALL.union(RARP) } else { OFFERED_BY_ALL };

    /// Does what the next message says, if that is to announce the guest, and returns whether it is. If it was not
    /// negotiated, it is left to whoever refuses messages.
    pub(super) fn takes_rarp(&self, connection: &UnixStream) -> bool {
        if !self.protocol.contains(RARP) {
            return false;
        }
        let Ok(Some(message)) = SendRarp::take(connection) else { return false };
        self.device.announce(message.address);
        !self.protocol.contains(REPLY_ACK) || message.answer(connection).is_ok()
    }
}
