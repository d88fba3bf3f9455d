//! The examples of the libraries, run by the commands that stand in them.

use std::fs;

use anyhow::{Context, Result, ensure};
use cargo_metadata::Package;

use crate::sources::sources;
use xtask_support::Spinner;
use xtask_support::cargo::Cargo;

/// Runs each example as its file says, and checks that other texts name the same commands.
pub(super) fn run(libraries: &[Package], spinner: &Spinner) -> Result<()> {
    let mut known = Vec::new();
    for package in libraries {
        for example in package.targets.iter().filter(|target| target.is_example()) {
            let text = fs::read_to_string(&example.src_path).with_context(|| example.src_path.to_string())?;
            let usual = format!("run -p {} --example {}", package.name, example.name);
            let own = commands(&text).find(|command| command.starts_with(&usual));
            known.push(own.with_context(|| format!("{} must say `cargo {usual}`", example.src_path))?.to_owned());
        }
    }
    for (file, text) in sources(&["*.md"])? {
        for command in commands(&text) {
            ensure!(known.iter().any(|known| known == command), "{file}: no example says `cargo {command}`");
        }
    }
    for command in known {
        Cargo::new(command.replacen("run", "run --locked", 1)).run(spinner)?;
    }
    Ok(())
}

/// Returns the commands in a text that run an example: what follows `cargo`, without arguments of the example.
fn commands(text: &str) -> impl Iterator<Item = &str> {
    let marked = text.split('`').filter_map(|words| words.strip_prefix("cargo "));
    let commands = marked.filter(|words| words.starts_with("run ") && words.contains(" --example "));
    commands.map(|words| words.split_once(" -- ").map_or(words, |(command, _)| command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_a_text_are_those_that_run_examples() {
        let text = "//! `cargo run -p a --example b -- FILE`, `cargo test`, `run -p a --example b`\n\
                    //! `cargo run -p c --example d --features e`: `cargo run -p f`";
        let found: Vec<_> = commands(text).collect();
        assert_eq!(found, ["run -p a --example b", "run -p c --example d --features e"]);
    }
}
