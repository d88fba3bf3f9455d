//! Commands of the driver.

use core::error::Error;
use core::fmt;

use virtio_chain::{Reader, TransferError};
use virtio_queue_core::{ChainElements, ChainError, ReturnError};
use zerocopy::little_endian::{U16, U32};

use super::filter::{AddressTable, MAX_ADDRESSES, MacAddress};
use super::wire::{ControlHeader, announce, class, feature, mac, mq, rx};

/// A command of the driver, of which nothing is left to doubt: VIRTIO 1.4 §5.1.6.5 "Control Virtqueue".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Receive frames of a kind, or not: a command of [`rx`], and whether to.
    Receive(u8, bool),
    /// Receive unicast and multicast frames for the addresses in these tables.
    SetTables(Box<[AddressTable; 2]>),
    /// Have this hardware address.
    SetAddress(MacAddress),
    /// The driver has announced itself.
    Announced,
    /// The driver uses so many pairs of queues.
    UsePairs(u16),
}

impl Command {
    /// Reads a command of a driver that accepted `features`, for a device with so many pairs.
    ///
    /// # Errors
    ///
    /// If the driver did not negotiate that command, or if it is too short, too long or out of range.
    pub fn read(reader: &mut Reader<impl ChainElements>, features: u64, pairs: u16) -> Result<Self, ControlError> {
        let ControlHeader { class, command } = reader.read_obj()?;
        let feature = feature_of(class, command).filter(|feature| features & feature != 0);
        feature.ok_or(ControlError::Unknown { class, command })?;
        let read = match class {
            class::RX => Self::Receive(command, read_switch(reader)?),
            class::MAC if command == mac::TABLE_SET => {
                Self::SetTables(Box::new([read_table(reader)?, read_table(reader)?]))
            }
            class::MAC => Self::SetAddress(reader.read_obj()?),
            class::ANNOUNCE => Self::Announced,
            _ => Self::UsePairs(read_pairs(reader, pairs)?),
        };
        match reader.remaining()?.bytes {
            0 => Ok(read),
            bytes => Err(ControlError::TooLong { bytes }),
        }
    }
}

/// Returns the feature that a command needs.
const fn feature_of(class: u8, command: u8) -> Option<u64> {
    Some(match (class, command) {
        (class::RX, rx::PROMISC | rx::ALLMULTI) | (class::MAC, mac::TABLE_SET) => feature::CTRL_RX,
        (class::RX, rx::ALLUNI | rx::NOMULTI | rx::NOUNI | rx::NOBCAST) => feature::CTRL_RX_EXTRA,
        (class::MAC, mac::ADDR_SET) => feature::CTRL_MAC_ADDR,
        (class::ANNOUNCE, announce::ACK) => feature::GUEST_ANNOUNCE,
        (class::MQ, mq::VQ_PAIRS_SET) => feature::MQ,
        _ => return None,
    })
}

fn read_switch(reader: &mut Reader<impl ChainElements>) -> Result<bool, ControlError> {
    match reader.read_obj()? {
        0 => Ok(false),
        1 => Ok(true),
        value => Err(ControlError::NoSwitch(value)),
    }
}

/// Reads a table of addresses. Of one that is too long, no more is read than shows that it is.
fn read_table(reader: &mut Reader<impl ChainElements>) -> Result<AddressTable, ControlError> {
    let entries: U32 = reader.read_obj()?;
    let (wanted, left) = (u64::from(entries.get()) * size_of::<MacAddress>() as u64, reader.remaining()?.bytes);
    if wanted > left {
        return Err(ControlError::Table { entries: entries.get(), bytes: left });
    }
    let (mut table, end) = (AddressTable::default(), reader.position() + wanted);
    for _ in (0..entries.get()).take(MAX_ADDRESSES + 1) {
        table.extend([reader.read_obj()?]);
    }
    reader.skip(end - reader.position())?;
    Ok(table)
}

fn read_pairs(reader: &mut Reader<impl ChainElements>, max: u16) -> Result<u16, ControlError> {
    let pairs: U16 = reader.read_obj()?;
    match pairs.get() {
        pairs if (1..=max).contains(&pairs) => Ok(pairs),
        pairs => Err(ControlError::Pairs { pairs, max }),
    }
}

/// The reason why a command was not obeyed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ControlError {
    /// The chain has no writable byte for the answer.
    NoAck,
    /// The chain is malformed, or too short for the command.
    Transfer(TransferError),
    /// The chain is too long for the command.
    TooLong {
        /// How many bytes are left.
        bytes: u64,
    },
    /// The driver has not negotiated such a command.
    Unknown {
        /// What it is about.
        class: u8,
        /// The command.
        command: u8,
    },
    /// A byte that switches something on or off is neither 1 nor 0.
    NoSwitch(u8),
    /// A table has more entries than there are bytes for.
    Table {
        /// The number of entries.
        entries: u32,
        /// The number of bytes that are left.
        bytes: u64,
    },
    /// The device does not have so many pairs.
    Pairs {
        /// The number of pairs.
        pairs: u16,
        /// How many there are.
        max: u16,
    },
    /// The chain could not be returned: its queue is broken.
    Return(ReturnError),
}

impl From<ChainError> for ControlError {
    fn from(error: ChainError) -> Self {
        Self::Transfer(error.into())
    }
}

impl From<TransferError> for ControlError {
    fn from(error: TransferError) -> Self {
        Self::Transfer(error)
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAck => f.write_str("the chain has no writable byte: it must have one for the answer"),
            Self::Transfer(error) => error.fmt(f),
            Self::TooLong { bytes } => write!(f, "{bytes} bytes after the end of the command"),
            Self::Unknown { class, command } => {
                write!(f, "command {command} of class {class} is unknown, or was not negotiated")
            }
            Self::NoSwitch(value) => write!(f, "{value} is no switch: it must be 0 or 1"),
            Self::Table { entries, bytes } => {
                write!(f, "a table of {entries} addresses in {bytes} bytes: each takes 6")
            }
            Self::Pairs { pairs, max } => write!(f, "{pairs} pairs of queues: there must be 1 to {max}"),
            Self::Return(error) => error.fmt(f),
        }
    }
}

impl Error for ControlError {}
