//! Writes a list of all that a crate exports, for `cargo xtask package`. It is a program of its own, so that only that
//! verb compiles it.

use std::env;
use std::fs;

use anyhow::{Context, Result};
use public_api::Builder;

/// What every type has or has not for reasons of the compiler's own.
const INTERNAL: [&str; 3] = ["core::marker::Freeze", "core::marker::StructuralPartialEq", "core::marker::UnsafeUnpin"];

/// Reads the JSON of rustdoc in the first argument, and writes one line for each public item to the second.
fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let json = args.next().context("the first argument must be a file of rustdoc's JSON")?;
    let list = args.next().context("the second argument must be the file for the list")?;
    let api = Builder::from_rustdoc_json(&json).omit_blanket_impls(true).build();
    let api = api.with_context(|| format!("cannot read {json}"))?;
    let items = api.items().map(|item| format!("{item}\n"));
    let text: String = items.filter(|item| !INTERNAL.iter().any(|name| item.contains(name))).collect();
    fs::write(&list, text).with_context(|| format!("cannot write {list}"))
}
