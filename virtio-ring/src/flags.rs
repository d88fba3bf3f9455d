//! Shows flags by their names.

use core::fmt;

/// Writes each bit of `flags`, with its name in `names` if it has one: `NEXT | WRITE | bit 5`.
pub(crate) fn fmt_flags(flags: u16, names: &[(u16, &str)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if flags == 0 {
        return f.write_str("none");
    }
    let mut separator = "";
    for bit in (0..u16::BITS).filter(|bit| flags >> bit & 1 != 0) {
        f.write_str(separator)?;
        match names.iter().find(|(flag, _)| *flag == 1 << bit) {
            Some((_, name)) => f.write_str(name)?,
            None => write!(f, "bit {bit}")?,
        }
        separator = " | ";
    }
    Ok(())
}
