//! What numbers count.

use serde::{Deserialize, Serialize};

/// What the numbers of a case count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Time for one chain, or one payload.
    #[serde(rename = "ns")]
    Nanoseconds,
    #[serde(rename = "chains/s")]
    ChainsPerSecond,
    /// Instructions for one chain.
    #[serde(rename = "instructions")]
    Instructions,
    #[serde(rename = "packets/s")]
    PacketsPerSecond,
    #[serde(rename = "requests/s")]
    RequestsPerSecond,
    #[serde(rename = "bytes/s")]
    BytesPerSecond,
    /// Notifications in one direction for one request.
    #[serde(rename = "notifications")]
    Notifications,
    /// Milliseconds of a processor in a second.
    #[serde(rename = "ms/s")]
    ProcessorTime,
}

impl Unit {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::Nanoseconds,
        Self::ChainsPerSecond,
        Self::Instructions,
        Self::PacketsPerSecond,
        Self::RequestsPerSecond,
        Self::BytesPerSecond,
        Self::Notifications,
        Self::ProcessorTime,
    ];

    /// Returns whether more is better.
    pub fn is_rate(self) -> bool {
        matches!(self, Self::ChainsPerSecond | Self::PacketsPerSecond | Self::RequestsPerSecond | Self::BytesPerSecond)
    }
}
