//! `cargo xtask fuzz`: drivers made of bytes that a fuzzer chooses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use xtask_support::Spinner;
use xtask_support::cargo::{Cargo, host, metadata, workspace_root};

/// The targets, in the order in which they run.
const TARGETS: [&str; 11] =
    ["queue", "chain", "shared", "saved", "blk", "net", "rng", "vsock", "vm-memory", "vhost-user", "differential"];

/// What libFuzzer needs of the compiler: counters on each edge, a table of the edges, and what is compared with what.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

/// AddressSanitizer, and copies in Rust, which it sees.
const SANITIZER: &str = "-Zsanitizer=address --cfg virtio_portable";

/// The longest input, in bytes.
const MAX_LEN: &str = "-max_len=4096";

/// The exit code of libFuzzer for an input that took too long.
const TIMED_OUT: i32 = 70;

/// How many inputs of a target are committed: the shortest ones.
const COMMITTED: usize = 100;

/// Let a fuzzer choose what drivers do to queues, chains and devices
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Put the inputs into the committed corpus that reach what no other reaches
    #[arg(long)]
    keep: bool,
    /// Run these targets only
    #[arg(value_parser = TARGETS)]
    targets: Vec<String>,
}

/// What came of a target.
struct Outcome {
    target: &'static str,
    executions: u64,
    per_second: u64,
    edges: String,
    found: bool,
}

/// Builds the targets, and runs one after the other.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let programs = build()?;
    let wanted = |target: &&&str| args.targets.is_empty() || args.targets.iter().any(|name| name == **target);
    let mut outcomes = Vec::new();
    for target in TARGETS.iter().filter(wanted) {
        let fuzzed = Target { name: target, program: programs.join(target) };
        outcomes.push(fuzzed.fuzz(args.seconds)?);
        if args.keep {
            fuzzed.keep()?;
        }
    }
    println!("{:<14} {:>12} {:>10} {:>8}", "target", "executions", "per second", "edges");
    for Outcome { target, executions, per_second, edges, found } in &outcomes {
        println!(
            "{target:<14} {executions:>12} {per_second:>10} {edges:>8}{}",
            if *found { "  FOUND SOMETHING" } else { "" }
        );
    }
    Ok(if outcomes.iter().any(|outcome| outcome.found) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Builds all targets, and returns where they are.
///
/// The flags are for this target alone, not for programs that run during the build.
fn build() -> Result<PathBuf> {
    let spinner = Spinner::new("the targets are built".to_owned());
    let host = host()?;
    let directory = metadata()?.target_directory.join("fuzz");
    let line = format!("build --locked --release --manifest-path fuzz/Cargo.toml --bins --target {host}");
    let cargo = Cargo::new(line).env("CARGO_TARGET_DIR", &directory).env("RUSTC_BOOTSTRAP", "1");
    cargo.env("RUSTFLAGS", format!("{COVERAGE} {SANITIZER}")).run(&spinner)?;
    Ok(directory.join(host).join("release").into())
}

/// A target, and the program that it is.
struct Target {
    name: &'static str,
    program: PathBuf,
}

impl Target {
    /// The inputs that are committed.
    fn corpus(&self) -> PathBuf {
        workspace_root().join("fuzz/corpus").join(self.name)
    }

    /// The inputs that were found here.
    fn found(&self) -> PathBuf {
        self.program.with_extension("corpus")
    }

    /// How long an input may take, in seconds. What waits for other threads says by itself that it waited too long.
    fn timeout(&self) -> &'static str {
        if self.name == "vhost-user" { "-timeout=30" } else { "-timeout=1" }
    }

    /// Runs the target for so long, or until it finds something.
    fn fuzz(&self, seconds: u32) -> Result<Outcome> {
        fs::create_dir_all(self.corpus())?;
        fs::create_dir_all(self.found())?;
        let spinner = Spinner::new(format!("{}, for {seconds} s", self.name));
        let (begin, mut executions) = (Instant::now(), 0);
        loop {
            let left = u64::from(seconds).saturating_sub(begin.elapsed().as_secs()).max(1);
            let output = self.run(&[&format!("-max_total_time={left}")], &[&self.found(), &self.corpus()])?;
            let printed = String::from_utf8_lossy(&output.stderr);
            executions += number_of_executions(&printed).unwrap_or(0);
            // On a busy machine, a target can wait for the processor. An input is slow if it is slow again.
            let had_to_wait =
                output.status.code() == Some(TIMED_OUT) && self.run(&[], &[&self.input()])?.status.success();
            if had_to_wait && begin.elapsed().as_secs() < seconds.into() {
                continue;
            }
            let found = !output.status.success() && !had_to_wait;
            if found {
                spinner.print(&printed);
            }
            let edges = printed.lines().rev().find_map(|line| word_after(line, "cov:")).unwrap_or("?").to_owned();
            let per_second = executions / begin.elapsed().as_secs().max(1);
            return Ok(Outcome { target: self.name, executions, per_second, edges, found });
        }
    }

    /// The input at which the target stopped.
    fn input(&self) -> PathBuf {
        self.program.with_extension("input")
    }

    fn run(&self, flags: &[&str], inputs: &[&Path]) -> Result<Output> {
        let stopped_at = format!("-exact_artifact_path={}", self.input().display());
        let mut program = Command::new(&self.program);
        program.args([MAX_LEN, "-print_final_stats=1", self.timeout(), "-rss_limit_mb=2048", &stopped_at]);
        let output = program.args(flags).args(inputs).stdin(Stdio::null()).output();
        output.with_context(|| format!("cannot run {}", self.program.display()))
    }

    /// Takes the shortest inputs that together reach all that was reached as the committed corpus.
    fn keep(&self) -> Result<()> {
        let (corpus, merged) = (self.corpus(), self.program.with_extension("merged"));
        if merged.exists() {
            fs::remove_dir_all(&merged)?;
        }
        fs::create_dir_all(&merged)?;
        let mut merge = Command::new(&self.program);
        let output = merge.args(["-set_cover_merge=1", MAX_LEN]).args([&merged, &corpus, &self.found()]).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut kept: Vec<_> = fs::read_dir(&merged)?.collect::<Result<_, _>>()?;
        kept.sort_by_cached_key(|input| {
            (input.metadata().map_or(u64::MAX, |metadata| metadata.len()), input.file_name())
        });
        if kept.is_empty() {
            bail!("nothing is left of the corpus of {}", self.name);
        }
        fs::remove_dir_all(&corpus)?;
        fs::create_dir_all(&corpus)?;
        for (index, input) in kept.iter().take(COMMITTED).enumerate() {
            fs::copy(input.path(), corpus.join(format!("{index:04}")))?;
        }
        Ok(())
    }
}

/// Returns how many inputs libFuzzer says that it has run.
fn number_of_executions(printed: &str) -> Option<u64> {
    let statistic = |line| word_after(line, "stat::number_of_executed_units:");
    printed.lines().find_map(statistic)?.parse().ok()
}

/// Returns the word that comes after `mark` in a line.
fn word_after<'l>(line: &'l str, mark: &str) -> Option<&'l str> {
    line.split_once(mark)?.1.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_after_a_mark_is_found() {
        let line = "#2097152\tpulse  cov: 1234 ft: 5678 corp: 90/1Kb";
        assert_eq!(word_after(line, "cov:"), Some("1234"));
        assert_eq!(word_after("Done 7 runs", "cov:"), None);
        let printed = "Done 7 runs\nstat::number_of_executed_units: 15602\nstat::average_exec_per_sec:     678\n";
        assert_eq!(number_of_executions(printed), Some(15602));
        assert_eq!(number_of_executions("Done 7 runs"), None);
    }
}
