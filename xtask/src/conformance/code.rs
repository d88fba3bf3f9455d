//! The ids that the code of the libraries names.

use std::collections::BTreeSet;

use super::tests::ids;

/// Where the code is: all libraries but the fake driver, which is the other side.
pub(super) const CODE: [&str; 4] =
    ["virtio-*/src/*.rs", "adapters/*/src/*.rs", ":!virtio-fake-driver", ":!adapters/test-support"];

/// Returns the ids in the comments of a file, without those of its tests and of the front page of its crate.
pub(super) fn find(file: &str, source: &str) -> BTreeSet<String> {
    if file.contains("/tests/") || file.ends_with("/tests.rs") {
        return BTreeSet::new();
    }
    let code =
        source.lines().take_while(|line| !line.starts_with("#[cfg(test)]") && !line.starts_with("#[cfg(all(test"));
    let is_front_page = |line: &&str| file.ends_with("/lib.rs") && line.starts_with("//!");
    let comments = code.filter(|line| !is_front_page(line)).filter_map(|line| line.split_once("//"));
    comments.flat_map(|(_, comment)| ids(comment)).collect()
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[track_caller]
    fn check(file: &str, source: &str, expected: &[&str]) {
        assert_eq!(find(file, source).iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn find_ids_in_comments_of_code_are_those_that_it_keeps() {
        let source = "\
//! AA-1
/// Keeps (AA-2).
const A: &str = \"AA-9\"; // AA-3, not AA
#[cfg(test)]
mod tests {
    /// AA-4
}
";
        check("a/src/b.rs", source, &["AA-1", "AA-2", "AA-3"]);
        check("a/src/lib.rs", source, &["AA-2", "AA-3"]);
        check("a/src/b/tests/c.rs", source, &[]);
        check("a/src/b/tests.rs", source, &[]);
    }
}
