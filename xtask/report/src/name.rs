//! What a saved report is called.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, bail};

use xtask_support::cargo::metadata;

/// A name that is good for a directory: it leads nowhere else, and is not hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Returns where the report is.
    pub fn directory(&self) -> Result<PathBuf> {
        Ok(metadata()?.target_directory.join("bench-reports").join(&self.0).into())
    }
}

impl FromStr for Name {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.starts_with(['.', '-']) || !name.bytes().all(letter) {
            bail!("a report is named with letters, digits, '-', '_' and '.'");
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_that_leads_elsewhere_is_refused() {
        for name in ["", ".", "..", ".git", "a/b", "/", "a\\b", "-x", "a b"] {
            assert!(name.parse::<Name>().is_err(), "{name}");
        }
        assert_eq!("main-2.1_x".parse::<Name>().unwrap().to_string(), "main-2.1_x");
    }
}
