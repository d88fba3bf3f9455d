//! Where orderings and fences are in the source.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Where the protocols are, of the device and of the driver.
const SOURCES: [&str; 6] = [
    "virtio-ring/src/split",
    "virtio-ring/src/packed",
    "virtio-queue-core/src",
    "virtio-fake-driver/src/split",
    "virtio-fake-driver/src/packed",
    "virtio-fake-driver/src/driver",
];

/// What a line has in it that orders something.
const ORDERS: [&str; 5] =
    ["load_acquire(", "store_release(", "load_field_acquire::", "store_field_release::", "fence(Ordering::"];

/// An ordering or a fence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Site {
    /// The file, the line and the column, from the directory of the workspace.
    pub(super) place: String,
    pub(super) weakenings: Vec<Weakening>,
}

/// What can be there instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Weakening {
    /// What a model calls it.
    pub(super) name: String,
    /// The weaker ordering, or `none`.
    pub(super) to: String,
    /// The models that come there.
    pub(super) models: Vec<String>,
}

/// Reads what the models have written: a line for each model and each weaker ordering at each place.
pub(super) fn parse(lines: &str, root: &Path) -> Result<Vec<Site>> {
    let root = root.canonicalize()?;
    let mut sites = BTreeMap::<String, BTreeMap<String, Weakening>>::new();
    for line in lines.lines() {
        let (model, name) = line.split_once(' ').with_context(|| format!("no place in `{line}`"))?;
        let (place, to) = name.rsplit_once(' ').with_context(|| format!("no ordering in `{line}`"))?;
        let place = Path::new(place).strip_prefix(&root).map_or(place.into(), Path::to_string_lossy);
        let weakening = Weakening { name: name.to_owned(), to: to.to_owned(), models: Vec::new() };
        let weakenings = sites.entry(place.into_owned()).or_default();
        weakenings.entry(to.to_owned()).or_insert(weakening).models.push(model.to_owned());
    }
    Ok(sites.into_iter().map(|(place, found)| Site { place, weakenings: found.into_values().collect() }).collect())
}

/// Returns the orderings in the sources that no model came to.
pub(super) fn unseen(root: &Path, sites: &[Site]) -> Result<Vec<String>> {
    let mut unseen = Vec::new();
    for folder in SOURCES {
        for entry in fs::read_dir(root.join(folder)).with_context(|| folder.to_owned())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                let file = format!("{folder}/{}", path.file_name().unwrap_or_default().to_string_lossy());
                unseen.extend(unseen_in(&file, &fs::read_to_string(&path)?, sites));
            }
        }
    }
    Ok(unseen)
}

/// Returns the lines of a file that order something and that no model came to.
fn unseen_in(file: &str, source: &str, sites: &[Site]) -> Vec<String> {
    let lines = (1..).zip(source.lines()).filter(|(_, line)| {
        let code = line.trim_start();
        !code.starts_with("//") && ORDERS.iter().any(|order| code.contains(order))
    });
    let places = lines.map(|(number, _)| format!("{file}:{number}"));
    places.filter(|place| !sites.iter().any(|site| site.place.starts_with(&format!("{place}:")))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_models_are_put_together_by_place() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().unwrap();
        let place = root.join("a.rs:7:9").display().to_string();
        let lines = format!("m::one {place} relaxed\nm::two {place} relaxed\n");
        let models = vec!["m::one".to_owned(), "m::two".to_owned()];
        let weakening = Weakening { name: format!("{place} relaxed"), to: "relaxed".to_owned(), models };
        let expected = vec![Site { place: "a.rs:7:9".to_owned(), weakenings: vec![weakening] }];
        assert_eq!(parse(&lines, &root).unwrap(), expected);
    }

    #[test]
    fn orderings_without_a_model_are_named() {
        let sites = [Site { place: "a.rs:1:5".to_owned(), weakenings: Vec::new() }];
        let source = "x.load_acquire(0)\n/// fence(Ordering::SeqCst)\nfence(Ordering::SeqCst);\nx.load_relaxed(0)";
        assert_eq!(unseen_in("a.rs", source, &sites), ["a.rs:3"]);
    }
}
