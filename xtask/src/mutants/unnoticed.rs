//! The changes that no test can notice, as xtask/mutants.txt lists them.

use std::fs;
use std::num::NonZero;

use anyhow::{Context, Result, ensure};

use xtask_support::cargo::workspace_root;

const LIST: &str = "xtask/mutants.txt";

/// Changes that are not made.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unnoticed(Vec<Change>);

/// One change, by its file and by the words of cargo-mutants. Without a number, it stands for all changes with the same
/// words. With a number, it is the one of them that comes in this place, counted from 1.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    file: String,
    words: String,
    number: Option<NonZero<usize>>,
}

impl Unnoticed {
    pub(super) fn read() -> Result<Self> {
        Self::parse(&fs::read_to_string(workspace_root().join(LIST)).context(LIST)?)
    }

    /// Reads paragraphs. Each begins with its reason, in lines that begin with `#`, and has one change in each line.
    /// The number of a change comes after ` #`.
    fn parse(list: &str) -> Result<Self> {
        let mut changes = Vec::new();
        for paragraph in list.split("\n\n") {
            let mut reason = false;
            for line in paragraph.lines().filter(|line| !line.is_empty()) {
                if line.starts_with('#') {
                    reason = true;
                    continue;
                }
                ensure!(reason, "{LIST}: a line with the reason must come before `{line}`");
                let (file, rest) = line.split_once(": ").with_context(|| format!("{LIST}: `{line}` names no file"))?;
                let (words, number) = match rest.rsplit_once(" #") {
                    Some((words, number)) => {
                        (words, Some(number.parse().with_context(|| format!("{LIST}: `{line}`"))?))
                    }
                    None => (rest, None),
                };
                changes.push(Change { file: file.to_owned(), words: words.to_owned(), number });
            }
        }
        Ok(Self(changes))
    }

    /// Returns a pattern for each change to one of the files, as the list of cargo-mutants names it.
    ///
    /// # Errors
    ///
    /// If a change is not in that list: the code has moved on.
    pub(super) fn patterns(&self, files: &[String], list: &str) -> Result<Vec<String>> {
        let mut patterns = Vec::new();
        for Change { file, words, number } in self.of(files) {
            let is_it = |line: &&str| line.starts_with(&format!("{file}:")) && line.ends_with(&format!(": {words}"));
            let (skipped, count) = number.map_or((0, usize::MAX), |number| (number.get() - 1, 1));
            let before = patterns.len();
            let names = list.lines().filter(is_it).skip(skipped).take(count);
            patterns.extend(names.map(|name| format!("^{}$", regex_lite::escape(name))));
            ensure!(patterns.len() > before, "{LIST} names a change that is not made any more: `{file}: {words}`");
        }
        Ok(patterns)
    }

    fn of(&self, files: &[String]) -> impl Iterator<Item = &Change> {
        self.0.iter().filter(|change| files.contains(&change.file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# It costs time alone.\na/b.rs: replace < with <= in A::b\na/b.rs: delete ! in c #2\n";

    const MADE: &str = "a/b.rs:1:2: replace < with <= in A::b\na/b.rs:3:4: delete ! in c\na/b.rs:5:6: delete ! in c\n";

    #[test]
    fn each_line_is_a_change_with_the_reason_before_it() {
        let (unnoticed, files) = (Unnoticed::parse(TEXT).unwrap(), ["a/b.rs".to_owned()]);
        let patterns = unnoticed.patterns(&files, MADE).unwrap();
        assert_eq!(patterns, [r"^a/b\.rs:1:2: replace < with <= in A::b$", r"^a/b\.rs:5:6: delete ! in c$"]);
        assert_eq!(unnoticed.patterns(&["c.rs".to_owned()], MADE).unwrap().len(), 0);
        let error = Unnoticed::parse("# A reason.\n\na.rs: delete ! in b\n").unwrap_err().to_string();
        assert_eq!(error, "xtask/mutants.txt: a line with the reason must come before `a.rs: delete ! in b`");
    }

    #[test]
    fn change_without_number_stands_for_all_with_its_words() {
        let unnoticed = Unnoticed::parse("# A reason.\na/b.rs: delete ! in c\n").unwrap();
        assert_eq!(unnoticed.patterns(&["a/b.rs".to_owned()], MADE).unwrap().len(), 2);
    }

    #[test]
    fn change_that_is_not_made_is_named() {
        let (unnoticed, files) = (Unnoticed::parse(TEXT).unwrap(), ["a/b.rs".to_owned()]);
        let made = "a/b.rs:1:2: replace < with <= in A::b\na/b.rs:3:4: delete ! in c\n";
        let error = unnoticed.patterns(&files, made).unwrap_err().to_string();
        assert!(error.ends_with("`a/b.rs: delete ! in c`"), "{error}");
    }
}
