//! `cargo xtask cross`: the layers on machines that are not like this one.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use xtask_support::command::{ensure_installed, missing};
use xtask_support::{Spinner, markdown};

use crate::oldest_rust::{OldestRust, count};

/// Test the layers on other architectures: big-endian, of 32 bits, with a weak memory order
#[derive(clap::Args)]
pub(crate) struct Args {
    /// On these architectures only
    #[arg(value_parser = MACHINES.map(|machine| machine.name))]
    names: Vec<String>,
}

/// An architecture.
struct Machine {
    /// What Debian calls it.
    name: &'static str,
    /// What is special about it.
    about: &'static str,
    /// What Rust calls it.
    target: &'static str,
    /// What GCC calls it.
    gnu: &'static str,
    /// The program that runs programs for it, and the package of that.
    runner: (&'static str, &'static str),
    /// The packages of the linker and of the C library.
    packages: [&'static str; 2],
    /// Tests that cannot pass there.
    skip: &'static str,
}

/// QEMU's emulator of processes, 7.2, does not know `preadv2`, so nothing can be read without waiting. It swaps the
/// bytes of an eventfd's counter for a machine with the other byte order, but not through a duplicate of the
/// descriptor. The same tests pass on i386, which needs no emulator, and the counter is a number in the order of the
/// machine on all of them.
const QEMU_HAS_OTHER_EVENTFDS: &str = "--skip event_fd::";

const MACHINES: [Machine; 3] = [
    Machine {
        name: "s390x",
        about: "big-endian",
        target: "s390x-unknown-linux-gnu",
        gnu: "s390x-linux-gnu",
        runner: ("qemu-s390x-static -L /usr/s390x-linux-gnu", "qemu-user-static"),
        packages: ["gcc-s390x-linux-gnu", "libc6-dev-s390x-cross"],
        skip: QEMU_HAS_OTHER_EVENTFDS,
    },
    Machine {
        name: "i386",
        about: "32 bits, without an emulator",
        target: "i686-unknown-linux-gnu",
        gnu: "i686-linux-gnu",
        runner: (
            "/usr/i686-linux-gnu/lib/ld-linux.so.2 --library-path /usr/i686-linux-gnu/lib",
            "libc6-dev-i386-cross",
        ),
        packages: ["gcc-i686-linux-gnu", "libc6-dev-i386-cross"],
        skip: "",
    },
    Machine {
        name: "arm64",
        about: "a weak memory order, as far as the emulator shows it",
        target: "aarch64-unknown-linux-gnu",
        gnu: "aarch64-linux-gnu",
        runner: ("qemu-aarch64-static -L /usr/aarch64-linux-gnu", "qemu-user-static"),
        packages: ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
        skip: QEMU_HAS_OTHER_EVENTFDS,
    },
];

/// Prints a table of the architectures, with what came of each.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let wanted = |machine: &&Machine| args.names.is_empty() || args.names.iter().any(|name| name == machine.name);
    let machines: Vec<_> = MACHINES.iter().filter(wanted).collect();
    let packages: BTreeSet<_> = machines.iter().flat_map(|machine| machine.missing()).collect();
    ensure_installed(&packages.into_iter().collect::<Vec<_>>())?;

    let spinner = Spinner::new("cross".into());
    let names: Vec<_> = machines.iter().map(|machine| machine.name).collect();
    let rust = OldestRust::prepare(&names, &spinner)?;
    let mut rows = Vec::new();
    let mut failed = 0;
    for machine in machines {
        let passed = match machine.test(&rust, &spinner) {
            Ok(passed) => passed.to_string(),
            Err(error) => {
                spinner.print(&format!("{}: {error:#}", machine.name));
                failed += 1;
                "FAILED".into()
            }
        };
        rows.push([machine.name, machine.about, &passed].map(str::to_owned).to_vec());
    }
    spinner.finish("");
    print!("{}", markdown(&["machine", "what is special", "tests passed"], 2, rows));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Machine {
    fn missing(&self) -> Vec<&'static str> {
        let (runner, package) = self.runner;
        let program = runner.split(' ').next().unwrap_or(runner);
        let [linker, library] = self.packages;
        let mut missing = missing(&[(program, package), (&self.linker(), linker)]);
        if !Path::new(&format!("/usr/{}/lib/libc.so.6", self.gnu)).exists() {
            missing.push(library);
        }
        missing
    }

    fn linker(&self) -> String {
        format!("{}-gcc", self.gnu)
    }

    /// Runs the tests, and returns how many passed.
    fn test(&self, rust: &OldestRust, spinner: &Spinner) -> Result<usize> {
        let setting = |name| format!("CARGO_TARGET_{}_{name}", self.target.replace('-', "_").to_uppercase());
        let cargo = rust.cargo(&format!("{} --target {} -- {}", rust.test_layers(), self.target, self.skip));
        let cargo = cargo.env(&setting("LINKER"), self.linker()).env(&setting("RUNNER"), self.runner.0);
        // An emulator takes longer for code that is not optimized than the compiler takes to optimize it.
        let cargo = cargo.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
        Ok(count(&cargo.run(spinner)?))
    }
}
