//! The program as people call it.

mod arguments;
mod demo;

use std::process::{Command, Output};

/// Calls the program.
fn xtask(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).args(args).output().expect("the program was built for this test")
}
