//! How wide lines are. rustfmt leaves comments and literals as they are.

use anyhow::Result;

use crate::sources::sources;

/// What people write and read side by side.
const TEXTS: [&str; 7] = ["*.css", "*.md", "*.rs", "*.sh", "*.toml", "*.yaml", "*.yml"];

/// As wide as rustfmt is told to be.
const WIDTH: usize = 120;

/// Checks all texts, and returns a sentence for every line that is too wide.
pub(super) fn check_tree() -> Result<Vec<String>> {
    let wide = |(name, text): &(String, String)| check_file(name, text);
    Ok(sources(&TEXTS)?.iter().flat_map(wide).collect())
}

fn check_file(name: &str, text: &str) -> Vec<String> {
    let mut violations = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let width = line.chars().count();
        if width > WIDTH && !is_row(line) {
            violations.push(format!("{name}:{number}: {width} columns: a line has at most {WIDTH}"));
        }
    }
    violations
}

/// Returns whether a line is a row of a table, which Markdown cannot wrap.
fn is_row(line: &str) -> bool {
    let text = line.trim_start();
    let text = ["///", "//!", "//"].into_iter().find_map(|comment| text.strip_prefix(comment)).unwrap_or(text);
    text.trim_start().starts_with('|')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_that_is_too_wide_is_named() {
        let text = format!("{}\n{}\n", "ß".repeat(120), "ß".repeat(121));
        assert_eq!(check_file("a.rs", &text), ["a.rs:2: 121 columns: a line has at most 120"]);
    }

    #[test]
    fn row_of_a_table_is_as_wide_as_it_has_to_be() {
        for before in ["", "    /// ", "//! "] {
            assert_eq!(check_file("a.md", &format!("{before}| {} |", "a".repeat(121))), [""; 0]);
        }
    }
}
