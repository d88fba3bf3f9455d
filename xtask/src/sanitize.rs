//! `cargo xtask sanitize`: threads that move chains, under a sanitizer.
//!
//! A sanitizer sees no assembly, so copies are loops of atomic accesses here. The unit tests of virtio-mem-traits compare
//! the two byte by byte.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use xtask_support::Spinner;
use xtask_support::cargo::{Cargo, host, metadata};

/// Let drivers and devices run in threads of their own, under sanitizers
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many chains there are altogether; memcheck takes a fiftieth of them
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    chains: usize,
    /// Run these alone, of all that are listed
    #[arg(value_enum)]
    sanitizers: Vec<Sanitizer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Sanitizer {
    /// None: the program as it is
    None,
    /// AddressSanitizer
    Address,
    /// ThreadSanitizer, with the shared queue alone: it knows no fences, and a plain queue has nothing else to race on
    Thread,
    /// Valgrind's memcheck
    Memcheck,
}

use Sanitizer::{Address, Memcheck, None as Plain, Thread};

const ALL: [Sanitizer; 4] = [Plain, Address, Thread, Memcheck];

/// Runs them one after the other.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let wanted = |sanitizer: &Sanitizer| args.sanitizers.is_empty() || args.sanitizers.contains(sanitizer);
    for sanitizer in ALL.into_iter().filter(wanted) {
        let spinner = Spinner::new(format!("{sanitizer:?}"));
        sanitizer.check(args.chains, &spinner)?;
        spinner.finish(&format!("{sanitizer:?}: ok"));
    }
    Ok(ExitCode::SUCCESS)
}

impl Sanitizer {
    const fn flags(self) -> &'static str {
        match self {
            Plain => "",
            Address => "-Zsanitizer=address --cfg virtio_portable",
            // The standard library is not instrumented: what is taken from it is what is compiled here.
            Thread => "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg virtio_portable",
            Memcheck => "--cfg virtio_portable",
        }
    }

    /// Builds the program, and runs it.
    fn check(self, chains: usize, spinner: &Spinner) -> Result<()> {
        let (host, name) = (host()?, format!("{self:?}").to_lowercase());
        let directory = metadata()?.target_directory.join("sanitize").join(name);
        let line = format!("build --locked --release --manifest-path xtask/stress/Cargo.toml --target {host}");
        let cargo = Cargo::new(line).env("CARGO_TARGET_DIR", &directory).env("RUSTC_BOOTSTRAP", "1");
        cargo.env("RUSTFLAGS", self.flags()).run(spinner)?;
        let program = directory.join(host).join("release/virtio-stress");
        let mut command = match self {
            Memcheck => {
                let mut valgrind = Command::new("valgrind");
                valgrind.args(["--error-exitcode=1", "--quiet", program.as_str()]);
                valgrind
            }
            _ => Command::new(&program),
        };
        if self == Thread {
            command.args(["--device", "shared"]);
        }
        let chains = if self == Memcheck { chains / 50 } else { chains };
        let output = command.arg(format!("--chains={chains}")).output().with_context(|| match self {
            Memcheck => "cannot run valgrind: install the package `valgrind`".to_owned(),
            _ => format!("cannot run {program}"),
        })?;
        if !output.status.success() {
            spinner.print(&String::from_utf8_lossy(&output.stderr));
            bail!("{self:?}: the program ended with {}", output.status);
        }
        Ok(())
    }
}
