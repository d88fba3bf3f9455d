//! The changes that no test can notice, as xtask/mutants.txt lists them.

use std::fs;

use anyhow::{Context, Result, ensure};

use xtask_support::cargo::workspace_root;

const LIST: &str = "xtask/mutants.txt";

/// Changes that are not made.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unnoticed(Vec<Change>);

/// One change, by its file and by the words of cargo-mutants. It stands for all changes with the same words.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    file: String,
    words: String,
}

impl Unnoticed {
    pub(super) fn read() -> Result<Self> {
        Self::parse(&fs::read_to_string(workspace_root().join(LIST)).context(LIST)?)
    }

    /// Reads paragraphs. Each begins with its reason, in lines that begin with `#`, and has one change in each line.
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
                let (file, words) = line.split_once(": ").with_context(|| format!("{LIST}: `{line}` names no file"))?;
                changes.push(Change { file: file.to_owned(), words: words.to_owned() });
            }
        }
        Ok(Self(changes))
    }

    /// Checks that each change to one of the files is in the list of cargo-mutants: the code can have moved on.
    pub(super) fn check(&self, files: &[String], list: &str) -> Result<()> {
        for Change { file, words } in self.of(files) {
            let is_made = list.lines().any(|line| line.starts_with(file) && line.ends_with(&format!(": {words}")));
            ensure!(is_made, "{LIST} names a change that is not made any more: `{file}: {words}`");
        }
        Ok(())
    }

    /// Returns a pattern for each change to one of the files.
    pub(super) fn patterns(&self, files: &[String]) -> impl Iterator<Item = String> {
        let name = |change: &Change| {
            format!(r"^{}:\d+:\d+: {}$", regex_lite::escape(&change.file), regex_lite::escape(&change.words))
        };
        self.of(files).map(name)
    }

    fn of(&self, files: &[String]) -> impl Iterator<Item = &Change> {
        self.0.iter().filter(|change| files.contains(&change.file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# It costs time alone.\na/b.rs: replace < with <= in A::b\na/b.rs: delete ! in c\n";

    #[test]
    fn each_line_is_a_change_with_the_reason_before_it() {
        let unnoticed = Unnoticed::parse(TEXT).unwrap();
        let patterns: Vec<_> = unnoticed.patterns(&["a/b.rs".to_owned()]).collect();
        assert_eq!(patterns, [r"^a/b\.rs:\d+:\d+: replace < with <= in A::b$", r"^a/b\.rs:\d+:\d+: delete ! in c$"]);
        assert_eq!(unnoticed.patterns(&["c.rs".to_owned()]).count(), 0);
        let error = Unnoticed::parse("# A reason.\n\na.rs: delete ! in b\n").unwrap_err().to_string();
        assert_eq!(error, "xtask/mutants.txt: a line with the reason must come before `a.rs: delete ! in b`");
    }

    #[test]
    fn change_that_is_not_made_is_named() {
        let (unnoticed, files) = (Unnoticed::parse(TEXT).unwrap(), ["a/b.rs".to_owned()]);
        let list = "a/b.rs:1:2: replace < with <= in A::b\na/b.rs:3:4: delete ! in c\n";
        assert!(unnoticed.check(&files, list).is_ok());
        let error = unnoticed.check(&files, "a/b.rs:3:4: delete ! in c\n").unwrap_err().to_string();
        assert!(error.ends_with("`a/b.rs: replace < with <= in A::b`"), "{error}");
    }
}
