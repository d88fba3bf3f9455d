//! What people are told.

use core::fmt;
use std::io::{self, Write};

/// Writes a line to the standard error, if anybody reads that: `eprintln` panics otherwise.
pub(crate) fn report(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}
