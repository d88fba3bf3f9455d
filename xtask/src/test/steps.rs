//! The steps, in the order in which they run.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use cargo_metadata::Package;

use super::apart::apart;
use super::{circles, code_map, edges, examples, guide, house_rules, lines, unit_tests};
use crate::conformance;
use xtask_support::Spinner;
use xtask_support::cargo::{Cargo, metadata, workspace_root};

/// One thing that a change must pass.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) place: Place,
    pub(super) run: fn(&Spinner) -> Result<()>,
}

/// Steps that follow each other. Those in two places run at the same time: most of them keep no more than one core
/// busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// What runs programs. Cargo compiles them, and is free for the checks while they run.
    Tests,
    /// What looks at the workspace. Cargo lets nobody else compile meanwhile.
    Checks,
    /// What has cargo compile packages that are no members of the workspace, in another folder.
    Apart,
}

pub(super) const STEPS: [Step; 14] = [
    Step::new("format", "rustfmt", Place::Checks, format),
    Step::new("clippy", "all targets with all features, warnings denied", Place::Checks, clippy),
    Step::new("features", "each library without features, with each, and with all", Place::Checks, features),
    Step::new("tests", "unit and integration tests, with what the fuzzer has found", Place::Tests, tests),
    Step::new("benches", "each benchmark once, for what it computes", Place::Tests, benches),
    Step::new("doctests", "examples in the documentation", Place::Tests, doctests),
    Step::new("examples", "the examples of each library, and the commands that run them", Place::Tests, examples),
    Step::new("guide", "the first device, made as its guide says", Place::Apart, guide::follow),
    Step::new("no_std", "the layers in a program without the standard library", Place::Apart, no_std),
    Step::new("outside", "a program elsewhere that keeps chains, with each lock", Place::Apart, outside),
    Step::new("edges", "who depends on whom", Place::Checks, edges),
    Step::new("rules", "unsafe code and house rules", Place::Checks, rules),
    Step::new("clauses", "every clause has a test or a reason, and code that names it", Place::Checks, clauses),
    Step::new("docs", "rustdoc with default, no and all features, warnings denied", Place::Checks, docs),
];

impl Step {
    const fn new(name: &'static str, about: &'static str, place: Place, run: fn(&Spinner) -> Result<()>) -> Self {
        Self { name, about, place, run }
    }
}

/// The package of the step `no_std`, which is not in the workspace.
const NO_STD: &str = "--manifest-path xtask/no-std-proof/Cargo.toml";

/// The packages of other verbs, which are not in the workspace.
const LOOM: &str = "--manifest-path xtask/loom/Cargo.toml";
const FUZZ: &str = "--manifest-path fuzz/Cargo.toml";
const STRESS: &str = "--manifest-path xtask/stress/Cargo.toml";

/// The package of the step `outside`, which is not in the workspace either.
const OUTSIDE: &str = "--manifest-path xtask/outside-proof/Cargo.toml";

fn format(spinner: &Spinner) -> Result<()> {
    Cargo::new("fmt --all --check").run(spinner)?;
    for package in [NO_STD, OUTSIDE, LOOM, FUZZ, STRESS] {
        Cargo::new(format!("fmt --check {package}")).run(spinner)?;
    }
    Ok(())
}

fn clippy(spinner: &Spinner) -> Result<()> {
    Cargo::new("clippy --locked --workspace --all-targets --all-features -- -D warnings").run(spinner)?;
    Ok(())
}

/// Clippy, not check, because it denies warnings without compiling all dependencies anew.
fn features(spinner: &Spinner) -> Result<()> {
    for package in libraries()? {
        for features in feature_sets(&package) {
            let features = features.join(",");
            let name = &package.name;
            let line = format!("clippy --locked -p {name} --no-default-features --features={features} -- -D warnings");
            Cargo::new(line).run(spinner)?;
        }
    }
    Ok(())
}

fn tests(spinner: &Spinner) -> Result<()> {
    Cargo::new("test --locked --workspace --all-features --tests").run(spinner)?;
    Ok(())
}

fn benches(spinner: &Spinner) -> Result<()> {
    // With the features of all packages, as in the tests, so that nothing is compiled twice.
    Cargo::new("test --locked --workspace --all-features --bench virtqueue --bench instructions").run(spinner)?;
    Ok(())
}

fn doctests(spinner: &Spinner) -> Result<()> {
    Cargo::new("test --locked --workspace --all-features --doc").run(spinner)?;
    Ok(())
}

fn examples(spinner: &Spinner) -> Result<()> {
    examples::run(&libraries()?, spinner)
}

fn no_std(spinner: &Spinner) -> Result<()> {
    apart(format!("build --release --locked {NO_STD}"))?.run(spinner)?;
    Ok(())
}

/// Each version of parking_lot alone, and both at once: whoever adds a feature takes none away from others.
fn outside(spinner: &Spinner) -> Result<()> {
    for locks in ["", "parking_lot-0-12", "parking_lot-0-13", "parking_lot-0-12,parking_lot-0-13"] {
        apart(format!("run --locked {OUTSIDE} --features={locks}"))?.run(spinner)?;
    }
    Ok(())
}

fn edges(spinner: &Spinner) -> Result<()> {
    let mut violations = edges::check_metadata(&metadata()?);
    let tree = Cargo::new("tree --locked -p virtio-ring -e normal --prefix none").run(spinner)?;
    violations.extend(edges::check_tree_of_ring(&tree));
    unless_any(&violations)
}

fn rules(_: &Spinner) -> Result<()> {
    let folders: Vec<_> = libraries()?.iter().map(folder).collect::<Result<_>>()?;
    let mut violations = house_rules::check_tree(workspace_root(), &folders)?;
    violations.extend(circles::check_tree(workspace_root())?);
    violations.extend(code_map::check_tree(workspace_root())?);
    violations.extend(lines::check_tree()?);
    violations.extend(unit_tests::check_tree()?);
    unless_any(&violations)
}

/// Returns where a package is, from the directory of the workspace.
fn folder(package: &Package) -> Result<String> {
    let manifest = package.manifest_path.strip_prefix(workspace_root().canonicalize()?)?;
    Ok(manifest.parent().context("a manifest is in a folder")?.as_str().replace('\\', "/"))
}

fn clauses(_: &Spinner) -> Result<()> {
    unless_any(&conformance::check()?)
}

/// Each library as far as its features go, since a link must not lead to something that a feature hides. Then all else.
fn docs(spinner: &Spinner) -> Result<()> {
    let libraries: Vec<_> = libraries()?.into_iter().map(|package| package.name.to_string()).collect();
    let alone = libraries.iter().flat_map(|name| {
        ["", "--no-default-features", "--all-features"].map(|features| format!("-p {name} {features}"))
    });
    let excluded: String = libraries.iter().map(|name| format!(" --exclude {name}")).collect();
    for packages in alone.chain([format!("--workspace --all-features{excluded}")]) {
        let docs = Cargo::new(format!("doc --locked --no-deps {packages}"));
        docs.env("RUSTDOCFLAGS", "-D warnings").run(spinner)?;
    }
    Ok(())
}

/// Returns the packages that people build devices on.
fn libraries() -> Result<Vec<Package>> {
    let packages = metadata()?.packages;
    Ok(packages.into_iter().filter(|package| edges::is_library(&package.name)).collect())
}

/// Returns no feature, each alone, and all of them.
fn feature_sets(package: &Package) -> BTreeSet<Vec<&str>> {
    let all: Vec<_> = package.features.keys().map(String::as_str).collect();
    let alone = all.iter().map(|feature| vec![*feature]);
    alone.chain([Vec::new(), all.clone()]).collect()
}

fn unless_any(violations: &[String]) -> Result<()> {
    if !violations.is_empty() {
        bail!("{}", violations.join("\n"));
    }
    Ok(())
}
