//! The oldest Rust that the crates claim to build with, as Debian 12 has it, and its standard library for other
//! machines. All of it is unpacked below `target/`. Nothing is installed: the packages of one version get into the way
//! of those of another.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{Metadata, Package};

use xtask_support::cargo::{Cargo, metadata};
use xtask_support::{Spinner, command};

/// The version of Debian's packages.
pub(crate) const VERSION: &str = "1.85.0+dfsg3-1~deb12u3";

/// The package of the standard library.
const LIBRARY: &str = "libstd-rust-web-dev";

/// What the compiler is made of, besides a standard library, and what it needs in any version.
const COMPILER: [&str; 2] = ["rustc-web", "libstd-rust-web-1.85"];
const LLVM: &str = "libllvm19";

/// What Debian calls the machine that this runs on.
const HOST: &str = "amd64";

/// The crates that are tested.
const LAYERS: [&str; 6] =
    ["virtio-mem-traits", "virtio-ring", "virtio-queue-core", "virtio-chain", "virtio-util", "virtio-fake-driver"];

/// The crates that are compiled, and not tested: their tests need more than a compiler.
const ADAPTERS: [&str; 3] = ["virtio-vm-memory", "virtio-vhost-user", "virtio-vhost-user-backend"];

/// A feature that needs a newer Rust, and says so in its docs.
const TOO_NEW: &str = "lock_api-0-5";

/// That Rust, unpacked.
pub(crate) struct OldestRust {
    metadata: Metadata,
    /// What would be `/` if it were installed.
    root: Utf8PathBuf,
}

impl OldestRust {
    /// Downloads and unpacks it, with the standard library for this machine and for `architectures` of Debian, as far
    /// as that is not there yet.
    pub(crate) fn prepare(architectures: &[&str], spinner: &Spinner) -> Result<Self> {
        ensure!(
            cfg!(all(target_arch = "x86_64", target_os = "linux")),
            "the Rust of Debian that is used is for x86-64"
        );
        command::ensure_installed(&command::missing(&[("apt-get", "apt"), ("dpkg-deb", "dpkg")]))?;
        let metadata = metadata()?;
        check_claim(&metadata)?;
        let root = metadata.target_directory.join("oldest-rust");
        let wanted = [&[HOST], architectures].concat();
        let missing: Vec<_> =
            wanted.into_iter().filter(|name| !root.join(format!("{name}.complete")).exists()).collect();
        if !missing.is_empty() {
            fetch(&root, &missing, spinner)?;
        }
        Ok(Self { metadata, root })
    }

    /// Returns a call of cargo with this Rust, which keeps what it builds apart.
    pub(crate) fn cargo(&self, line: &str) -> Cargo {
        let usr = self.root.join("usr");
        let cargo = Cargo::new(line).env("RUSTC", usr.join("bin/rustc")).env("RUSTDOC", usr.join("bin/rustdoc"));
        let cargo = cargo.env("LD_LIBRARY_PATH", usr.join("lib/x86_64-linux-gnu"));
        cargo.env("CARGO_TARGET_DIR", self.root.join("build"))
    }

    /// Returns the line for cargo that compiles the adapters, with all features.
    pub(crate) fn check_adapters(&self) -> String {
        let names = ADAPTERS.map(|name| format!("-p {name}")).join(" ");
        format!("check --locked --all-features {names}")
    }

    /// Returns the line for cargo that tests the layers, with all features that this Rust can have.
    pub(crate) fn test_layers(&self) -> String {
        let layers = self.metadata.packages.iter().filter(|package| LAYERS.contains(&package.name.as_str()));
        let features: Vec<_> = layers.flat_map(features).collect();
        let layers = LAYERS.map(|name| format!("-p {name}")).join(" ");
        format!("test --locked --no-fail-fast --tests {layers} --features {}", features.join(","))
    }
}

/// Returns how many tests passed, from all that cargo printed.
pub(crate) fn count(printed: &str) -> usize {
    let results = printed.lines().filter_map(|line| line.split_once("test result: ok. ")?.1.split_once(" passed"));
    results.filter_map(|(count, _)| count.parse::<usize>().ok()).sum()
}

/// Returns the features of a package that this Rust can have, as cargo takes them for several packages at once.
fn features(package: &Package) -> impl Iterator<Item = String> + '_ {
    let features = package.features.keys().filter(|feature| *feature != TOO_NEW);
    features.map(|feature| format!("{}/{feature}", package.name))
}

/// Checks that the manifests claim what is tested here.
fn check_claim(metadata: &Metadata) -> Result<()> {
    let layers = metadata.packages.iter().filter(|package| LAYERS.contains(&package.name.as_str()));
    for package in layers {
        let claim = package.rust_version.as_ref().with_context(|| format!("{} has no rust-version", package.name))?;
        ensure!(VERSION.starts_with(&format!("{claim}+")), "{} claims Rust {claim}, not {VERSION}", package.name);
    }
    Ok(())
}

/// Downloads and unpacks what is missing for each architecture. The lists of packages are kept here as well: the
/// system need not know of these architectures.
fn fetch(root: &Utf8Path, architectures: &[&str], spinner: &Spinner) -> Result<()> {
    fs::create_dir_all(root.join("lists/partial"))?;
    fs::create_dir_all(root.join("cache/archives/partial"))?;
    spinner.show("download the lists of packages");
    // A mirror can lack a list that is not needed. Whether those that are needed are there, the downloads show.
    let lists = command::run(apt_get(root, architectures).arg("update"));
    for name in architectures {
        let folder = root.join("packages").join(name);
        fs::create_dir_all(&folder)?;
        spinner.show(&format!("download Rust for {name}"));
        let download =
            command::run(apt_get(root, architectures).current_dir(&folder).arg("download").args(packages(name)));
        download.map_err(|error| error.context(format!("lists of packages: {lists:?}")))?;
        for package in folder.read_dir_utf8()? {
            command::run(Command::new("dpkg-deb").arg("-x").arg(package?.path()).arg(root))?;
        }
        fs::write(root.join(format!("{name}.complete")), "")?;
    }
    Ok(())
}

/// Returns the packages of an architecture, as apt-get takes them.
fn packages(architecture: &str) -> Vec<String> {
    let mut packages = vec![format!("{LIBRARY}:{architecture}={VERSION}")];
    if architecture == HOST {
        packages.extend(COMPILER.map(|package| format!("{package}={VERSION}")));
        packages.push(LLVM.into());
    }
    packages
}

/// Returns a call of apt-get for these architectures, which leaves the system's own state alone.
fn apt_get(root: &Utf8Path, architectures: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(["-o", "APT::Sandbox::User=root"]);
    for name in [&[HOST], architectures].concat() {
        command.arg("-o").arg(format!("APT::Architectures::={name}"));
    }
    for (key, name) in [("Dir::State::lists", "lists"), ("Dir::Cache", "cache")] {
        command.arg("-o").arg(format!("{key}={}", root.join(name)));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_adds_up_what_passed() {
        let printed = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored\n\
                       \x1b[0mtest result: ok. 40 passed; 0 failed; 0 ignored\n\
                       test result: FAILED. 7 passed; 1 failed; 0 ignored\n";
        assert_eq!(count(printed), 42);
        assert_eq!(count(""), 0);
    }

    #[test]
    fn packages_of_the_host_are_the_compiler_too() {
        assert_eq!(packages("s390x"), [format!("libstd-rust-web-dev:s390x={VERSION}")]);
        assert!(packages(HOST).contains(&format!("rustc-web={VERSION}")));
    }
}
