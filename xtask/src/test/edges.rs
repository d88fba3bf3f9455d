//! Who may depend on whom.

use std::collections::BTreeSet;

use cargo_metadata::{DependencyKind, Metadata};

use Rest::{Any, Only};

/// What a package of the workspace may depend on.
struct Rule {
    name: &'static str,
    /// Packages of the workspace.
    internal: &'static [&'static str],
    /// Packages from elsewhere.
    external: Rest,
}

enum Rest {
    Any,
    Only(&'static [&'static str]),
}

/// The layers, from below, then the adapters, and what is built on both. Only [`ABOVE`] depends on what it likes.
const RULES: &[Rule] = &[
    Rule { name: "virtio-mem-traits", internal: &[], external: Only(&["static_assertions", "zerocopy"]) },
    Rule { name: "virtio-ring", internal: &["virtio-mem-traits"], external: Only(&["static_assertions", "zerocopy"]) },
    Rule { name: "virtio-queue-core", internal: &["virtio-mem-traits", "virtio-ring"], external: Only(&["serde"]) },
    Rule {
        name: "virtio-chain",
        internal: &["virtio-mem-traits", "virtio-ring", "virtio-queue-core"],
        external: Only(&["zerocopy"]),
    },
    Rule {
        name: "virtio-util",
        internal: &["virtio-mem-traits", "virtio-ring", "virtio-queue-core"],
        external: Only(&["event-listener", "futures-core", "lock_api", "rustix"]),
    },
    Rule {
        name: "virtio-fake-driver",
        internal: &["virtio-mem-traits", "virtio-ring", "virtio-queue-core", "virtio-util"],
        external: Only(&["rand"]),
    },
    Rule { name: "virtio-vm-memory", internal: LAYERS, external: Only(&["libc", "vm-memory"]) },
    Rule {
        name: "virtio-vhost-user-backend",
        internal: &[
            "virtio-mem-traits",
            "virtio-ring",
            "virtio-queue-core",
            "virtio-chain",
            "virtio-util",
            "virtio-vm-memory",
        ],
        external: Only(&["vhost-user-backend", "virtio-queue", "vm-memory"]),
    },
    Rule {
        name: "virtio-vhost-user",
        // The front ends in its tests have memory of vm-memory.
        internal: &[
            "virtio-mem-traits",
            "virtio-ring",
            "virtio-queue-core",
            "virtio-chain",
            "virtio-util",
            "virtio-vm-memory",
        ],
        external: Only(&["clap", "futures-core", "libc", "memmap2", "rustix", "signal-hook", "vhost", "zerocopy"]),
    },
    Rule {
        name: "adapter-test-support",
        internal: &["virtio-mem-traits", "virtio-queue-core", "virtio-chain", "virtio-fake-driver"],
        external: Any,
    },
    Rule {
        name: "virtio-examples",
        internal: &[
            "virtio-mem-traits",
            "virtio-ring",
            "virtio-queue-core",
            "virtio-chain",
            "virtio-util",
            "virtio-vhost-user",
            "virtio-vm-memory",
        ],
        external: Any,
    },
];

/// What an adapter may depend on. No layer depends on an adapter, and no adapter on another but on that for the memory
/// of the crate that it adapts.
const LAYERS: &[&str] = &["virtio-mem-traits", "virtio-ring", "virtio-queue-core", "virtio-chain", "virtio-util"];

/// What the names of the programs behind `cargo xtask` begin with, and of what is fuzzed.
const ABOVE: [&str; 2] = ["xtask", "virtio-fuzz"];

/// What tests may use beyond that: the fake driver, and what it builds on.
const FOR_TESTS: &[&str] =
    &["virtio-fake-driver", "virtio-util", "virtio-queue-core", "virtio-ring", "virtio-mem-traits"];

/// What the tests of adapters alone may use as well.
const FOR_TESTS_OF_ADAPTERS: &str = "adapter-test-support";

/// The adapters.
const ADAPTERS: &[&str] = &["virtio-vm-memory", "virtio-vhost-user", "virtio-vhost-user-backend"];

/// All that a consumer of virtio-ring compiles.
const BELOW_RING: &[&str] = &[
    "virtio-ring",
    "virtio-mem-traits",
    "static_assertions",
    "zerocopy",
    "zerocopy-derive",
    "proc-macro2",
    "quote",
    "syn",
    "unicode-ident",
];

/// A dependency of one package of the workspace.
struct Edge<'m> {
    from: &'m str,
    to: &'m str,
    kind: DependencyKind,
    internal: bool,
}

/// Returns whether `name` is a crate that people build devices on.
pub(super) fn is_library(name: &str) -> bool {
    RULES.iter().any(|rule| rule.name == name && matches!(rule.external, Only(_)))
}

/// Checks the dependencies of every package, and returns a sentence for each that is not allowed.
pub(super) fn check_metadata(metadata: &Metadata) -> Vec<String> {
    let packages =
        metadata.packages.iter().filter(|package| !ABOVE.iter().any(|above| package.name.starts_with(above)));
    let edges = packages.flat_map(|package| {
        package.dependencies.iter().map(|dependency| Edge {
            from: &package.name,
            to: &dependency.name,
            kind: dependency.kind,
            internal: dependency.path.is_some(),
        })
    });
    edges.filter_map(|edge| check_edge(&edge).err()).collect()
}

/// Checks a dependency.
fn check_edge(edge: &Edge<'_>) -> Result<(), String> {
    let Edge { from, to, kind, internal } = *edge;
    let Some(rule) = RULES.iter().find(|rule| rule.name == from) else {
        return Err(format!("{from} has no place among the layers: see the table in {}", file!()));
    };
    let for_tests = kind == DependencyKind::Development;
    let allowed = match (internal, &rule.external) {
        (true, _) if rule.internal.contains(&to) => true,
        (true, _) if to == FOR_TESTS_OF_ADAPTERS => for_tests && ADAPTERS.contains(&from),
        (true, _) => for_tests && (FOR_TESTS.contains(&to) || from == to),
        (false, Only(names)) => for_tests || names.contains(&to),
        (false, Any) => true,
    };
    if allowed {
        return Ok(());
    }
    let what = if for_tests { "the tests of " } else { "" };
    Err(format!("{what}{from} must not depend on {to}: see the table in {}", file!()))
}

/// Checks the lines of `cargo tree -p virtio-ring -e normal --prefix none`.
pub(super) fn check_tree_of_ring(tree: &str) -> Vec<String> {
    // Lines of another form are what cargo says while it waits for something.
    let packages: BTreeSet<_> =
        tree.lines().filter_map(|line| line.split_once(" v")).map(|(package, _)| package).collect();
    let more = packages.into_iter().filter(|package| !BELOW_RING.contains(package));
    more.map(|package| format!("who uses virtio-ring must not have to compile {package}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORMAL: DependencyKind = DependencyKind::Normal;
    const FOR_TESTS: DependencyKind = DependencyKind::Development;

    #[track_caller]
    fn check(from: &str, to: &str, kind: DependencyKind, internal: bool, expected: Option<&str>) {
        let error = check_edge(&Edge { from, to, kind, internal }).err();
        let sentence = error.as_deref().and_then(|error| error.split(':').next());
        assert_eq!(sentence, expected, "{from} -> {to}");
    }

    #[test]
    fn edges_of_the_design_are_allowed() {
        check("virtio-chain", "virtio-ring", NORMAL, true, None);
        check("virtio-ring", "zerocopy", NORMAL, false, None);
        check("virtio-ring", "virtio-fake-driver", FOR_TESTS, true, None);
        check("virtio-mem-traits", "virtio-mem-traits", FOR_TESTS, true, None);
        check("virtio-ring", "proptest", FOR_TESTS, false, None);
        check("virtio-vm-memory", "virtio-mem-traits", NORMAL, true, None);
        check("virtio-vm-memory", "virtio-chain", FOR_TESTS, true, None);
        check("virtio-vhost-user-backend", "virtio-vm-memory", NORMAL, true, None);
        check("virtio-vhost-user-backend", "virtio-fake-driver", FOR_TESTS, true, None);
        check("virtio-vhost-user", "adapter-test-support", FOR_TESTS, true, None);
        check("virtio-examples", "virtio-vm-memory", NORMAL, true, None);
        check("virtio-examples", "anything", NORMAL, false, None);
    }

    #[test]
    fn an_edge_upwards_is_refused() {
        let sentence = "virtio-ring must not depend on virtio-queue-core";
        check("virtio-ring", "virtio-queue-core", NORMAL, true, Some(sentence));
        let sentence = "virtio-ring must not depend on virtio-fake-driver";
        check("virtio-ring", "virtio-fake-driver", NORMAL, true, Some(sentence));
        let sentence = "virtio-util must not depend on virtio-vm-memory";
        check("virtio-util", "virtio-vm-memory", NORMAL, true, Some(sentence));
        let sentence = "the tests of virtio-queue-core must not depend on virtio-vm-memory";
        check("virtio-queue-core", "virtio-vm-memory", FOR_TESTS, true, Some(sentence));
        let sentence = "virtio-vm-memory must not depend on virtio-vhost-user-backend";
        check("virtio-vm-memory", "virtio-vhost-user-backend", NORMAL, true, Some(sentence));
        let sentence = "virtio-vhost-user must not depend on adapter-test-support";
        check("virtio-vhost-user", "adapter-test-support", NORMAL, true, Some(sentence));
        let sentence = "the tests of virtio-chain must not depend on adapter-test-support";
        check("virtio-chain", "adapter-test-support", FOR_TESTS, true, Some(sentence));
        let sentence = "the tests of virtio-ring must not depend on virtio-chain";
        check("virtio-ring", "virtio-chain", FOR_TESTS, true, Some(sentence));
    }

    #[test]
    fn a_new_external_dependency_is_refused() {
        check("virtio-ring", "libc", NORMAL, false, Some("virtio-ring must not depend on libc"));
        let sentence = "virtio-queue-core must not depend on cc";
        check("virtio-queue-core", "cc", DependencyKind::Build, false, Some(sentence));
        let sentence = "virtio-vm-memory must not depend on vhost";
        check("virtio-vm-memory", "vhost", NORMAL, false, Some(sentence));
        let sentence = "virtio-vhost-user-backend must not depend on libc";
        check("virtio-vhost-user-backend", "libc", NORMAL, false, Some(sentence));
        // A crate of our name that is not ours.
        check("virtio-chain", "virtio-ring", NORMAL, false, Some("virtio-chain must not depend on virtio-ring"));
    }

    #[test]
    fn a_package_outside_of_the_table_is_refused() {
        check("virtio-new", "zerocopy", NORMAL, false, Some("virtio-new has no place among the layers"));
    }

    #[test]
    fn a_package_more_below_ring_is_named() {
        let tree = "virtio-ring v0.1.0 (/ring)\nzerocopy v0.8.1\nlibc v0.2.1\nlibc v0.2.1 (*)\n";
        assert_eq!(check_tree_of_ring(tree), ["who uses virtio-ring must not have to compile libc"]);
        assert_eq!(check_tree_of_ring("    Blocking waiting for file lock on package cache\n"), [""; 0]);
    }
}
