//! Which cases are wanted.

use std::str::FromStr;

use regex_lite::Regex;

use xtask_report::CaseId;

/// All cases, or those with a name that matches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter(Option<Regex>);

impl Filter {
    pub(crate) fn matches(&self, id: &CaseId) -> bool {
        self.0.as_ref().is_none_or(|regex| regex.is_match(&id.to_string()))
    }

    /// Returns the regular expression, if only some cases are wanted.
    pub(crate) fn pattern(&self) -> Option<&str> {
        self.0.as_ref().map(Regex::as_str)
    }
}

impl FromStr for Filter {
    type Err = regex_lite::Error;

    fn from_str(pattern: &str) -> Result<Self, Self::Err> {
        Ok(Self(Some(pattern.parse()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_looks_at_the_whole_name() {
        let id = CaseId::new("chain-direct", "split", "32");
        for pattern in ["direct/split", "^chain-direct/(split|packed)/32$", ""] {
            assert!(pattern.parse::<Filter>().unwrap().matches(&id), "{pattern}");
        }
        assert!(!"split/3$".parse::<Filter>().unwrap().matches(&id));
        assert!(Filter::default().matches(&id));
        assert!("(".parse::<Filter>().is_err());
    }
}
