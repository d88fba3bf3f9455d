//! The tests in a source file, and the ids that they name.

use std::collections::BTreeSet;

/// A test.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) name: String,
    pub(super) ids: BTreeSet<String>,
}

/// Returns the tests in a file that is formatted as rustfmt does it. The ids of a test are those in its doc comment,
/// and in the comments between its braces.
pub(super) fn find(source: &str) -> Vec<Test> {
    let mut tests = Vec::new();
    let mut docs = BTreeSet::new();
    let mut attribute = false;
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let code = line.trim_start();
        if code.starts_with("///") {
            docs.extend(ids(code));
        } else if code == "#[test]" {
            attribute = true;
        } else if code.starts_with("#[") || code.starts_with("//") || code.is_empty() {
            // Between a doc comment and what it belongs to.
        } else {
            if let (true, Some(name)) = (attribute, function(code)) {
                let indent = &line[..line.len() - code.len()];
                let body = lines.by_ref().take_while(|line| line.strip_prefix(indent) != Some("}"));
                docs.extend(body.filter_map(|line| line.split_once("// ")).flat_map(|(_, comment)| ids(comment)));
                tests.push(Test { name: name.to_owned(), ids: std::mem::take(&mut docs) });
            }
            docs.clear();
            attribute = false;
        }
    }
    tests
}

/// Returns the name of the function that begins in this line.
fn function(code: &str) -> Option<&str> {
    let (_, rest) = code.split_once("fn ")?;
    rest.split(['(', '<']).next()
}

/// Returns everything in a comment that looks like the id of a clause: words in capitals, and a number, joined by
/// hyphens.
pub(super) fn ids(comment: &str) -> impl Iterator<Item = String> + '_ {
    let words = comment.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    words.filter(|word| is_id(word)).map(str::to_owned)
}

fn is_id(word: &str) -> bool {
    let Some((name, number)) = word.rsplit_once('-') else { return false };
    let capitals = |part: &str| part.len() > 1 && part.bytes().all(|letter| letter.is_ascii_uppercase());
    name.split('-').all(capitals) && !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn find_ids_in_docs_and_body_belong_to_the_test() {
        let source = "\
/// NOT-1: a helper.
fn helper() {}

mod inner {
    /// SPLIT-USED-1, BAR-4: in order. -1 is none.
    #[test]
    fn one() {
        // HOST-10: and this.
        if true {
        }
    }

    #[test]
    fn two<T>() {
    }
}
";
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        let one = Test { name: "one".to_owned(), ids: ids(&["SPLIT-USED-1", "BAR-4", "HOST-10"]) };
        let two = Test { name: "two".to_owned(), ids: ids(&[]) };
        assert_eq!(find(source), [one, two]);
    }
}
