//! `cargo xtask sanitize`: threads that move chains, under a sanitizer.
//!
//! A sanitizer sees no assembly, so copies are loops of atomic accesses here. The unit tests of virtio-mem-traits
//! compare the two byte by byte.

use std::env;
use std::path::Path;
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
    /// Run these alone. Without any: all but ThreadSanitizer
    #[arg(value_enum)]
    sanitizers: Vec<Sanitizer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Sanitizer {
    /// None: the program as it is
    None,
    /// AddressSanitizer
    Address,
    /// ThreadSanitizer, with the shared queue alone and a standard library that is built for it from rust-src
    Thread,
    /// Valgrind's memcheck
    Memcheck,
}

use Sanitizer::{Address, Memcheck, None as Plain, Thread};

const ALL: [Sanitizer; 4] = [Plain, Address, Thread, Memcheck];

/// ThreadSanitizer knows no fences, so it has no say in the rings: `cargo xtask loom` has. What it can judge is what is
/// under the lock of a shared queue. It must see all of the lock then, and so all of the standard library.
const BUILD_STD: &str = "-Zbuild-std";

/// Runs them one after the other.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let wanted = |sanitizer: &Sanitizer| match args.sanitizers.is_empty() {
        true => *sanitizer != Thread,
        false => args.sanitizers.contains(sanitizer),
    };
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
            Thread => "-Zsanitizer=thread --cfg virtio_portable",
            Memcheck => "--cfg virtio_portable",
        }
    }

    /// Builds the program, and runs it.
    fn check(self, chains: usize, spinner: &Spinner) -> Result<()> {
        let (host, name) = (host()?, format!("{self:?}").to_lowercase());
        let directory = metadata()?.target_directory.join("sanitize").join(name);
        let build_std = if self == Thread { BUILD_STD } else { "" };
        if self == Thread && !has_rust_src()? {
            bail!("{self:?}: the component rust-src is missing: install it with `rustup component add rust-src`");
        }
        let line =
            format!("build --locked --release --manifest-path xtask/stress/Cargo.toml --target {host} {build_std}");
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

/// Returns whether the sources of the standard library are there.
fn has_rust_src() -> Result<bool> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().context("cannot run rustc")?;
    let sysroot = String::from_utf8_lossy(&output.stdout);
    Ok(Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std").exists())
}
