//! The package of a crate: the file that a registry gets, and what was unpacked from that to build it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use cargo_metadata::camino::Utf8PathBuf;
use cargo_metadata::{Metadata, Package};

use xtask_support::Spinner;
use xtask_support::cargo::{Cargo, workspace_root};

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

    /// Builds the documentation from the package as docs.rs does it, and returns where the same is as JSON.
    pub(crate) fn document(&self, all: &[&Package], metadata: &Metadata, spinner: &Spinner) -> Result<PathBuf> {
        let target = metadata.target_directory.join("documented");
        for format in ["html", "json"] {
            let line = format!("rustdoc --lib --all-features -Z unstable-options --output-format {format}");
            let mut cargo = Cargo::new(line).env("CARGO_TARGET_DIR", &target);
            // JSON and `doc_cfg` are not stable. docs.rs has a nightly Rust.
            cargo = cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTDOCFLAGS", "--cfg docsrs -D warnings");
            for other in all {
                let folder = Self::new(other, metadata).folder;
                cargo = cargo.arg("--config").arg(format!("patch.crates-io.{}.path={folder:?}", other.name));
            }
            cargo.arg("--manifest-path").arg(self.folder.join("Cargo.toml")).run(spinner)?;
        }
        Ok(target.join("doc").join(format!("{}.json", self.name.replace('-', "_"))).into())
    }

    /// Returns the size of the file that a registry gets.
    pub(crate) fn kibibytes(&self) -> Result<u64> {
        let file = format!("{}.crate", self.folder);
        Ok(fs::metadata(&file).context(file)?.len().div_ceil(1024))
    }
}
