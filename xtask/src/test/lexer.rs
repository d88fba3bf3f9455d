//! Rust source as words and punctuation, without comments and literals: as much of a lexer as the house rules need.

/// A word or a punctuation character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'s> {
    pub(super) text: &'s str,
    pub(super) line: usize,
}

/// Returns the tokens of `source`. A raw identifier is one token, and so is no keyword.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let skipped = comment_len(rest).or_else(|| literal_len(rest));
        let len = skipped.or_else(|| word_len(rest)).unwrap_or(first.len_utf8());
        let (text, after) = rest.split_at(len);
        if skipped.is_none() && !first.is_whitespace() {
            tokens.push(Token { text, line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    tokens
}

/// Returns the length of the comment that `source` begins with. Block comments nest.
fn comment_len(source: &str) -> Option<usize> {
    if source.starts_with("//") {
        return Some(source.find('\n').unwrap_or(source.len()));
    }
    let (mut len, mut depth) = (0, 0);
    loop {
        let rest = source.get(len..)?;
        if rest.starts_with("/*") {
            depth += 1;
            len += 2;
        } else if depth > 0 && rest.starts_with("*/") {
            depth -= 1;
            len += 2;
        } else {
            len += rest.chars().next().filter(|_| depth > 0)?.len_utf8();
        }
        if depth == 0 {
            return Some(len);
        }
    }
}

/// Returns the length of the string or character literal that `source` begins with.
fn literal_len(source: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| source.starts_with(prefix))?;
    let body = source.get(prefix.len()..)?;
    let len = if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let text = body.get(hashes..)?.strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        hashes + 1 + text.find(&end)? + end.len()
    } else if let Some(text) = body.strip_prefix('"') {
        1 + escaped_len(text, '"')?
    } else {
        // What is neither escaped nor ended after one character is a lifetime.
        let text = body.strip_prefix('\'')?;
        let ended = text.chars().nth(1) == Some('\'');
        if !ended && !text.starts_with('\\') {
            return None;
        }
        1 + escaped_len(text, '\'')?
    };
    Some(prefix.len() + len)
}

/// Returns the length of `text` up to the quote that ends it, which is counted too.
fn escaped_len(text: &str, quote: char) -> Option<usize> {
    let mut chars = text.char_indices();
    while let Some((index, char)) = chars.next() {
        if char == '\\' {
            chars.next();
        } else if char == quote {
            return Some(index + quote.len_utf8());
        }
    }
    None
}

/// Returns the length of the identifier, keyword or number that `source` begins with.
fn word_len(source: &str) -> Option<usize> {
    let raw = if source.starts_with("r#") { 2 } else { 0 };
    let word = source.get(raw..)?;
    let len = word.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(word.len());
    (len > 0).then_some(raw + len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, expected: &str) {
        let texts: Vec<_> = tokens(source).into_iter().map(|token| token.text).collect();
        assert_eq!(texts.join(" "), expected, "{source}");
    }

    #[test]
    fn words_and_punctuation_are_tokens() {
        check("#![forbid(unsafe_code)]", "# ! [ forbid ( unsafe_code ) ]");
        check("let größe=1_u8;", "let größe = 1_u8 ;");
        check("r#unsafe break", "r#unsafe break");
    }

    #[test]
    fn comments_are_no_tokens() {
        check("a // unsafe\nb", "a b");
        check("a /* unsafe /* ö */ unsafe */ b", "a b");
        check("/// unsafe\n//! unsafe", "");
    }

    #[test]
    fn literals_are_no_tokens() {
        check(r#"a "unsafe \" unsafe" b"#, "a b");
        check(r##"a r#"unsafe " unsafe"# br"\" c"unsafe" b"x" b"##, "a b");
        check(r"a '\'' '{' 'ü' b'\\' '\u{1f600}' b", "a b");
        check("fn f<'a>(x: &'a str)", "fn f < ' a > ( x : & ' a str )");
    }

    #[test]
    fn lines_are_counted_through_everything() {
        let last = tokens("a\n/*\n*/ \"\n\" // x\n r#\"\n\"# b").pop();
        assert_eq!(last, Some(Token { text: "b", line: 6 }));
    }
}
