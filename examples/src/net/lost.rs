//! Packets that are lost.

use core::fmt;

/// The error of a packet that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the packet is lost")
    }
}

impl core::error::Error for Lost {}
