//! Packages that are no members of the workspace.

use anyhow::Result;
use xtask_support::cargo::{Cargo, metadata};

/// Returns a call of cargo for a package that is no member of the workspace. All of them compile in one folder and
/// without debug info, so that they share what they have in common.
pub(super) fn apart(line: impl Into<String>) -> Result<Cargo> {
    let target = metadata()?.target_directory.join("apart");
    Ok(Cargo::new(line).env("CARGO_TARGET_DIR", target).env("CARGO_PROFILE_DEV_DEBUG", "none"))
}
