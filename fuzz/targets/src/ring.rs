//! Rings that a hostile driver fills.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use virtio_fake_driver::features::{EVENT_IDX, IN_ORDER, INDIRECT_DESC, RING_PACKED, VERSION_1};
use virtio_mem_traits::DriverAddr;
use virtio_queue_core::{DriverNotify, QueueConfig, RingFeatures};

use crate::input::Input;
use crate::memory::{BASE, LEN, Memory, anywhere};

/// Where the areas are.
pub(crate) const DESCRIPTORS: u64 = BASE;
pub(crate) const DRIVER: u64 = BASE + 0x400;
pub(crate) const DEVICE: u64 = BASE + 0x600;

/// The largest queue that has room there.
const LARGEST: u16 = 40;

/// A notifier that counts.
#[derive(Debug, Default)]
pub(crate) struct Interrupts(AtomicU32);

impl Interrupts {
    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl DriverNotify for Interrupts {
    fn notify(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns a configuration as the input says.
pub(crate) fn config(input: &mut Input<'_>, packed: bool) -> QueueConfig {
    let how = input.u8();
    let feature = |bit: u8, feature| if how & bit == 0 { 0 } else { feature };
    let format = if packed { RING_PACKED } else { 0 };
    let features = VERSION_1 | format | feature(1, INDIRECT_DESC) | feature(2, EVENT_IDX) | feature(4, IN_ORDER);
    let size = if packed { u16::from(input.u8()) % LARGEST + 1 } else { 1 << (input.u8() % 6) };
    let shift = if how & 0x10 == 0 { 0 } else { u64::from(input.u8()) };
    let features = RingFeatures::from_negotiated(features).unwrap();
    let areas = [DESCRIPTORS + shift, DRIVER, DEVICE].map(DriverAddr);
    let mut config = QueueConfig::new(size, features, areas[0], areas[1], areas[2]);
    config.limits.chain_len = (how & 8 != 0).then(|| u32::from(input.u8() % 64));
    config
}

/// What a driver remembers of its ring.
pub(crate) struct Ring {
    mem: Arc<Memory>,
    config: QueueConfig,
    packed: bool,
    next: u16,
    wrap: bool,
}

impl Ring {
    pub(crate) fn new(mem: &Arc<Memory>, config: &QueueConfig) -> Self {
        let packed = config.features.contains(RingFeatures::RING_PACKED);
        Self { mem: Arc::clone(mem), config: *config, packed, next: 0, wrap: true }
    }

    pub(crate) const fn is_packed(&self) -> bool {
        self.packed
    }

    /// Begins anew, as after a reset.
    pub(crate) fn reset(&mut self) {
        (self.next, self.wrap) = (0, true);
        if !self.packed {
            self.mem.poke(DRIVER + 2, &[0; 2]);
        }
    }

    /// Makes something available: a descriptor of a packed ring, or an entry of a split one.
    pub(crate) fn offer(&mut self, input: &mut Input<'_>) {
        if self.packed {
            let descriptor = self.descriptor(input);
            self.mem.poke(self.slot(self.next), &descriptor);
            self.next += 1;
            if self.next == self.config.size {
                (self.next, self.wrap) = (0, !self.wrap);
            }
        } else {
            let head = u16::from(input.u8());
            let head = if head == 0xff { self.config.size } else { head % self.config.size };
            self.mem.poke(DRIVER + 4 + 2 * u64::from(self.next % self.config.size), &head.to_le_bytes());
            self.next = self.next.wrapping_add(1);
            self.mem.poke(DRIVER + 2, &self.next.to_le_bytes());
        }
    }

    /// Writes a descriptor somewhere into the ring's table.
    pub(crate) fn write_descriptor(&self, input: &mut Input<'_>) {
        let slot = u16::from(input.u8()) % self.config.size;
        let descriptor = self.descriptor(input);
        self.mem.poke(self.slot(slot), &descriptor);
    }

    /// Writes a descriptor anywhere: into an indirect table, perhaps.
    pub(crate) fn write_table(&self, input: &mut Input<'_>) {
        let addr = BASE + 0x800 + 16 * (u64::from(input.u8()) % 0x90);
        let descriptor = self.descriptor(input);
        self.mem.poke(addr, &descriptor);
    }

    /// Writes bytes anywhere.
    pub(crate) fn write_anywhere(&self, input: &mut Input<'_>) {
        let (addr, len) = (anywhere(input), usize::from(input.u8() % 9));
        self.mem.poke(addr, input.bytes(len));
    }

    /// Says when to notify.
    pub(crate) fn write_event(&self, input: &mut Input<'_>) {
        if self.packed {
            self.mem.poke(DRIVER, &input.u32().to_le_bytes());
        } else {
            self.mem.poke(DRIVER, &u16::from(input.u8() & 1).to_le_bytes());
            self.mem.poke(DRIVER + 4 + 2 * u64::from(self.config.size), &input.u16().to_le_bytes());
        }
    }

    /// Lets the available index of a split ring jump.
    pub(crate) fn jump(&mut self, input: &mut Input<'_>) {
        if !self.packed {
            self.next = input.u16();
            self.mem.poke(DRIVER + 2, &self.next.to_le_bytes());
        }
    }

    fn slot(&self, slot: u16) -> u64 {
        self.config.descriptor_area.0 + 16 * u64::from(slot)
    }

    fn descriptor(&self, input: &mut Input<'_>) -> [u8; 16] {
        let (addr, len, flags) = (address(input), length(input), input.u8());
        let last = if self.packed {
            let available = if self.wrap { 0x80 } else { 0x8000 };
            let lap = if flags & 0x80 == 0 { available } else { input.u16() & 0x8080 };
            u32::from(input.u8()) | u32::from(lap | u16::from(flags & 0x0f)) << 16
        } else {
            // Some are just beyond the end of the table.
            let next = u16::from(input.u8()) % (self.config.size + self.config.size / 8 + 1);
            u32::from(flags & 0x1f) | u32::from(next) << 16
        };
        let mut descriptor = [0; 16];
        descriptor[..8].copy_from_slice(&addr.to_le_bytes());
        descriptor[8..12].copy_from_slice(&len.to_le_bytes());
        descriptor[12..].copy_from_slice(&last.to_le_bytes());
        descriptor
    }
}

/// Returns an address, of a buffer as a rule.
fn address(input: &mut Input<'_>) -> u64 {
    match input.u8() % 12 {
        0 => input.one_of(&[DESCRIPTORS, DRIVER, DEVICE, 0, u64::MAX - 15, BASE + LEN as u64 - 16]),
        1 => input.u64(),
        2..6 => BASE + 0x800 + 16 * u64::from(input.u8() % 0x90),
        part => BASE + 0x800 + 0x100 * u64::from(part) + u64::from(input.u8()),
    }
}

/// Returns the length of a buffer or of a table.
fn length(input: &mut Input<'_>) -> u32 {
    match input.u8() % 8 {
        0 => input.one_of(&[0, u32::MAX, 1 << 31]),
        1 => input.u32(),
        2 => 16 * u32::from(input.u8() % 70),
        _ => input.u8().into(),
    }
}
