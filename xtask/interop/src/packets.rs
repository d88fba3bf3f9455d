//! What `vhost-user-net` says of itself.

/// What a back end has done for all drivers, with a pair of queues or all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// The features that the last driver has accepted.
    pub(crate) features: u64,
    pub(crate) transmitted: Count,
    pub(crate) received: Count,
}

/// One direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) errors: u64,
    /// Those that were to be cut into segments.
    pub(crate) large: u64,
}

impl Report {
    /// Adds what another back end has done.
    pub(crate) fn add(&mut self, other: &Self) {
        self.features = other.features;
        self.transmitted.add(other.transmitted);
        self.received.add(other.received);
    }

    /// Takes a line like `pair 0: features 0x1; transmitted 2 packets, 3 bytes, 4 errors, 5 large; received ...`
    /// apart.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (_, line) = line.split_once(": features 0x")?;
        let (features, line) = line.split_once("; transmitted ")?;
        let (transmitted, received) = line.split_once("; received ")?;
        Some(Self {
            features: u64::from_str_radix(features, 16).ok()?,
            transmitted: Count::parse(transmitted)?,
            received: Count::parse(received)?,
        })
    }
}

impl Count {
    fn parse(text: &str) -> Option<Self> {
        let (packets, text) = text.split_once(" packets, ")?;
        let (bytes, text) = text.split_once(" bytes, ")?;
        let (errors, large) = text.split_once(" errors, ")?;
        let (packets, bytes) = (packets.parse().ok()?, bytes.parse().ok()?);
        Some(Self { packets, bytes, errors: errors.parse().ok()?, large: large.strip_suffix(" large")?.parse().ok()? })
    }

    fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.large += other.large;
    }

    /// Returns what came since it was `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            packets: self.packets - before.packets,
            bytes: self.bytes - before.bytes,
            errors: self.errors - before.errors,
            large: self.large - before.large,
        }
    }
}
