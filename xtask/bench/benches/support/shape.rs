//! What is done, whoever does it.

/// The format of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Split,
    Packed,
}

/// One point of a figure: the work that all contenders do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// How many descriptors a chain has, and whether they are in an indirect table.
    pub(crate) descriptors: u16,
    pub(crate) indirect: bool,
    /// How many chains are published together.
    pub(crate) burst: u16,
    /// Whether the driver says of which used buffer it wants to be notified, or wants every notification.
    pub(crate) event_idx: bool,
    /// The smallest queue size. All sizes, and the numbers of descriptors, are powers of two.
    pub(crate) queue_size: u16,
    /// In how many regions of memory the buffers are.
    pub(crate) regions: u16,
    pub(crate) completion: Completion,
    /// How many threads serve the queue.
    pub(crate) threads: usize,
    /// What is in the buffers, if somebody looks.
    pub(crate) payload: Option<Payload>,
}

/// The order in which chains are completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completion {
    /// As they were fetched.
    InOrder,
    /// In a fixed order that looks random, within each burst.
    OutOfOrder,
}

/// Bytes that are copied between a chain and a buffer of the device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payload {
    pub(crate) bytes: u32,
    pub(crate) direction: Direction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// The longest buffer of a payload: drivers cut at pages.
pub(crate) const PAGE: u32 = 4096;

/// All payloads of a ring together: with the device's own buffer, they stay in the second-level cache.
pub(crate) const PAYLOADS: u32 = 0x4_0000;

impl Shape {
    /// What everything is that a figure is not about.
    pub(crate) const BASE: Self = Self {
        descriptors: 1,
        indirect: false,
        burst: 32,
        event_idx: true,
        queue_size: 256,
        regions: 1,
        completion: Completion::InOrder,
        threads: 1,
        payload: None,
    };

    /// Returns the shape of as many payloads as stay in the cache, but at most 256, and in bursts of 32 if there are as
    /// many.
    pub(crate) fn of_payload(bytes: u32, direction: Direction) -> Self {
        let narrow = |number: u32| u16::try_from(number).expect("there are at most 256 payloads");
        let (descriptors, chains) = (narrow(bytes.div_ceil(PAGE)), narrow((PAYLOADS / bytes).min(256)));
        let chains = 1 << chains.ilog2();
        let payload = Some(Payload { bytes, direction });
        Self { descriptors, burst: chains.min(32), queue_size: chains * descriptors, payload, ..Self::BASE }
    }

    /// Returns the queue size: as said, or as large as it takes for one burst of chains to be in the ring.
    pub(crate) fn size(&self) -> u16 {
        self.queue_size.max(self.burst * self.descriptors)
    }

    /// Returns how many chains are in the ring at a time.
    ///
    /// With indirect tables there could be more of them. But then the two ways would differ in how much memory they
    /// touch, and not only in what a table costs.
    pub(crate) fn chains(&self) -> u16 {
        self.size() / self.descriptors
    }

    /// Returns how many slots of the ring a chain takes.
    pub(crate) fn slots(&self) -> u16 {
        if self.indirect { 1 } else { self.descriptors }
    }

    /// Returns how many rings are served between two looks at the clock: enough for the raw loop to take more than a
    /// microsecond, so that it hardly matters how the processor gets into the loop and out of it. One with payloads
    /// takes as long by itself.
    pub(crate) fn rings(&self) -> u16 {
        if self.payload.is_some() { 1 } else { (1024 / self.size()).max(1) }
    }
}
