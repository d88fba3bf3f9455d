//! What a registry shows of a crate.

use cargo_metadata::Package;

/// Returns a sentence for each fact that the manifest lacks.
pub(crate) fn missing(package: &Package) -> Vec<String> {
    let facts = [
        ("description", package.description.is_some()),
        ("license", package.license.is_some()),
        ("documentation", package.documentation.is_some()),
        ("rust-version", package.rust_version.is_some()),
        ("keywords", !package.keywords.is_empty()),
        ("categories", !package.categories.is_empty()),
        (
            "metadata.docs.rs.all-features",
            package.metadata.pointer("/docs/rs/all-features").is_some_and(|all| *all == true),
        ),
    ];
    let missing = facts.into_iter().filter(|(_, there)| !there);
    missing.map(|(name, _)| format!("its Cargo.toml must say `{name}`")).collect()
}
