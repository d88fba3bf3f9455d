//! The package of a crate: the file that a registry gets, and what was unpacked from that to build it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use cargo_metadata::camino::Utf8PathBuf;
use cargo_metadata::{Metadata, Package};
use xtask_support::cargo::{Cargo, workspace_root};
use xtask_support::{Spinner, command};

const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// The package of a crate.
pub(crate) struct Archive {
    name: String,
    /// Where it was unpacked.
    folder: Utf8PathBuf,
}

impl Archive {
    /// Names the package that `cargo package` has made.
    pub(crate) fn new(package: &Package, metadata: &Metadata) -> Self {
        let folder = metadata.target_directory.join("package").join(format!("{}-{}", package.name, package.version));
        Self { name: package.name.to_string(), folder }
    }

    /// Returns a sentence for each file that must be in the package, and is not.
    pub(crate) fn missing(&self) -> Result<Vec<String>> {
        let mut missing = Vec::new();
        let readme = fs::read_to_string(self.folder.join("README.md")).unwrap_or_default();
        if !readme.starts_with(&format!("# {}\n", self.name)) {
            missing.push(format!("its package must have a README.md that begins with `# {}`", self.name));
        }
        for licence in LICENCES {
            let expected = fs::read(workspace_root().join(licence)).context(licence)?;
            if fs::read(self.folder.join(licence)).ok() != Some(expected) {
                missing.push(format!("its package must have {licence} as it is in the folder of the workspace"));
            }
        }
        Ok(missing)
    }

    /// Unpacks it, in place of what was there.
    pub(crate) fn unpack(&self) -> Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)?;
        }
        let parent = self.folder.parent().context("a package is in a folder")?;
        // With the time of now: cargo takes a source that is older than what was built from the last package for the
        // same.
        command::run(Command::new("tar").arg("-xzmf").arg(self.file()).arg("-C").arg(parent))
    }

    /// Builds the library from the package, with its default features.
    pub(crate) fn build(&self, all: &[&Package], metadata: &Metadata, spinner: &Spinner) -> Result<()> {
        self.cargo("build --lib", "built", all, metadata).run(spinner)?;
        Ok(())
    }

    /// Builds the documentation from the package as docs.rs does it, and returns where the same is as JSON.
    pub(crate) fn document(&self, all: &[&Package], metadata: &Metadata, spinner: &Spinner) -> Result<PathBuf> {
        for format in ["html", "json"] {
            let line = format!("rustdoc --lib --all-features -Z unstable-options --output-format {format}");
            // JSON and `doc_cfg` are not stable. docs.rs has a nightly Rust.
            let cargo = self.cargo(&line, "documented", all, metadata).env("RUSTC_BOOTSTRAP", "1");
            cargo.env("RUSTDOCFLAGS", "--cfg docsrs -D warnings").run(spinner)?;
        }
        let json = format!("documented/doc/{}.json", self.name.replace('-', "_"));
        Ok(metadata.target_directory.join(json).into())
    }

    /// Returns a call of cargo for what was unpacked, which finds the others that are not published where they were
    /// unpacked. A Rust that takes what is not stable builds many crates in another way, and so has a folder of its
    /// own.
    fn cargo(&self, line: &str, folder: &str, all: &[&Package], metadata: &Metadata) -> Cargo {
        let mut cargo = Cargo::new(line).env("CARGO_TARGET_DIR", metadata.target_directory.join(folder));
        for other in all {
            let folder = Self::new(other, metadata).folder;
            cargo = cargo.arg("--config").arg(format!("patch.crates-io.{}.path={folder:?}", other.name));
        }
        cargo.arg("--manifest-path").arg(self.folder.join("Cargo.toml"))
    }

    /// Returns the file that a registry gets.
    fn file(&self) -> String {
        format!("{}.crate", self.folder)
    }

    /// Returns the size of the file that a registry gets.
    pub(crate) fn kibibytes(&self) -> Result<u64> {
        Ok(fs::metadata(self.file()).with_context(|| self.file())?.len().div_ceil(1024))
    }
}
