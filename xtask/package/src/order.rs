//! Which crates are published, and which one first.

use anyhow::{Result, ensure};
use cargo_metadata::semver::VersionReq;
use cargo_metadata::{Dependency, DependencyKind, Metadata, Package};

/// Returns the published crates, each behind those that it depends on.
pub(crate) fn published(metadata: &Metadata) -> Result<Vec<&Package>> {
    let is_published = |package: &&Package| package.publish.as_ref().is_none_or(|registries| !registries.is_empty());
    let mut rest: Vec<_> = metadata.packages.iter().filter(is_published).collect();
    let mut ordered = Vec::new();
    while !rest.is_empty() {
        let names: Vec<_> = rest.iter().map(|package| package.name.as_str()).collect();
        let waits = |package: &&Package| package.dependencies.iter().any(|dependency| needs(dependency, &names));
        let (later, now): (Vec<_>, Vec<_>) = rest.iter().copied().partition(waits);
        ensure!(!now.is_empty(), "each of these crates depends on another of them: {}", names.join(", "));
        ordered.extend(now);
        rest = later;
    }
    Ok(ordered)
}

/// Returns whether one of `names` must be published first. A dependency of tests that has a path and no version is
/// left out of the package.
fn needs(dependency: &Dependency, names: &[&str]) -> bool {
    let left_out = dependency.kind == DependencyKind::Development && dependency.req == VersionReq::STAR;
    names.contains(&dependency.name.as_str()) && !left_out
}
