//! The examples of the libraries, and the commands that stand in them.

use std::env::consts::EXE_SUFFIX;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cargo_metadata::Package;

use crate::sources::sources;
use xtask_support::Spinner;
use xtask_support::cargo::{Cargo, metadata, workspace_root};

/// Runs each example, and checks that its file and other texts name the command that does that.
///
/// All are compiled together, with what the tests have compiled. The command of each would compile all libraries anew.
pub(super) fn run(libraries: &[Package], spinner: &Spinner) -> Result<()> {
    let mut known = Vec::new();
    Cargo::new("build --locked --workspace --all-features --examples").run(spinner)?;
    for package in libraries {
        for example in package.targets.iter().filter(|target| target.is_example()) {
            let text = fs::read_to_string(&example.src_path).with_context(|| example.src_path.to_string())?;
            let command = command(&package.name, &example.name, &example.required_features);
            let says_it = commands(&text).any(|own| own == command);
            ensure!(says_it, "{} must say `cargo {command}`", example.src_path);
            known.push(command);
            start(&example.name)?;
        }
    }
    for (file, text) in sources(&["*.md"])? {
        for command in commands(&text) {
            ensure!(known.iter().any(|known| known == command), "{file}: no example says `cargo {command}`");
        }
    }
    Ok(())
}

/// Returns the command that runs an example, without `cargo`.
fn command(package: &str, example: &str, features: &[String]) -> String {
    let features = if features.is_empty() { String::new() } else { format!(" --features {}", features.join(",")) };
    format!("run -p {package} --example {example}{features}")
}

/// Starts the program that an example is, and waits for its end.
fn start(example: &str) -> Result<()> {
    let program = metadata()?.target_directory.join(format!("debug/examples/{example}{EXE_SUFFIX}"));
    let output = Command::new(&program).current_dir(workspace_root()).output().context(program)?;
    ensure!(output.status.success(), "{example}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
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
        assert_eq!(found, [command("a", "b", &[]), command("c", "d", &["e".into()])]);
    }
}
