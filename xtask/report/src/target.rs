//! How fast something is to be, and whether it is.

use crate::case::Case;
use crate::format::number;
use crate::report::Report;
use crate::spread::Spread;
use xtask_support::markdown;

use Bound::{AtLeast, AtMost, Nothing, Shown, Under};

/// A ratio of two cases of one report, or a case, and what it is to be.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    what: &'static str,
    ratio: &'static str,
    /// The names of the cases.
    of: &'static str,
    to: Option<&'static str>,
    bound: Bound,
    /// Another case to compare with, and a bound for that, which is enough.
    or: Option<(&'static str, Bound)>,
}

/// What a number is to be.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
    Under(f64),
    /// It is to be 0 in every round.
    Nothing,
    /// Not a target, but good to know beside one.
    Shown,
}

/// A target for a ratio.
pub const fn target(
    what: &'static str,
    ratio: &'static str,
    of: &'static str,
    to: &'static str,
    bound: Bound,
) -> Target {
    Target { what, ratio, of, to: Some(to), bound, or: None }
}

/// A target for a case without regard to others.
pub const fn alone(what: &'static str, about: &'static str, of: &'static str, bound: Bound) -> Target {
    Target { what, ratio: about, of, to: None, bound, or: None }
}

/// The heads of the columns of the table.
pub const HEAD: [&str; 7] = ["shape", "ratio", "verdict", "target", "measured", "rounds", "best samples"];

/// How many of the columns are texts.
pub const TEXTS: usize = 3;

/// What is said of a target that is met.
const MET: &str = "met";

/// Returns the table of all targets, in Markdown.
pub(crate) fn table(targets: &[Target], report: &Report) -> String {
    markdown(&HEAD, TEXTS, rows(targets, report))
}

/// Returns the table of all targets.
pub(crate) fn rows(targets: &[Target], report: &Report) -> Vec<Vec<String>> {
    targets.iter().map(|target| target.row(report)).collect()
}

impl Target {
    /// Adds another target, for the ratio to another case. It is enough to meet one of the two.
    #[must_use]
    pub const fn or(self, to: &'static str, bound: Bound) -> Self {
        Self { or: Some((to, bound)), ..self }
    }

    fn row(&self, report: &Report) -> Vec<String> {
        let [measured, range, verdict] = match self.measure(report) {
            Some(Spread { median, low, high }) => [
                format!("{}{}", number(median), self.suffix()),
                format!("{} to {}", number(low), number(high)),
                self.verdict(report, &Spread { median, low, high }),
            ],
            None => [String::new(), String::new(), "not measured".to_owned()],
        };
        let best = self.best(report).map_or(String::new(), |best| format!("{} x", number(best)));
        let target = self.bound.describe(self.suffix());
        vec![self.what.to_owned(), self.ratio.to_owned(), verdict, target, measured, range, best]
    }

    /// Returns whether what was measured is within the bound, or whether the other target is met.
    fn verdict(&self, report: &Report, measured: &Spread) -> String {
        let verdict = self.bound.verdict(measured);
        let other = self.or.and_then(|(to, bound)| Some((Self { to: Some(to), ..*self }.measure(report)?, bound)));
        match other {
            Some((measured, bound)) if verdict != MET && bound.verdict(&measured) == MET => {
                "the other one is met".into()
            }
            _ => verdict,
        }
    }

    /// Returns what was measured, with the least and the most that a round has shown.
    pub(crate) fn measure(&self, report: &Report) -> Option<Spread> {
        let of = named(report, self.of)?;
        match self.to {
            Some(to) => Spread::range(of.ratios(named(report, to)?)),
            None => Spread::range(of.values()),
        }
    }

    /// Returns the ratio of the best samples of both cases, for a target that is a ratio.
    fn best(&self, report: &Report) -> Option<f64> {
        Some(named(report, self.of)?.best()? / named(report, self.to?)?.best()?)
    }

    /// Returns what is written behind its numbers.
    fn suffix(&self) -> &'static str {
        if self.to.is_some() { " x" } else { "" }
    }
}

fn named<'r>(report: &'r Report, name: &str) -> Option<&'r Case> {
    report.cases.iter().find(|case| case.id.to_string() == name)
}

impl Bound {
    fn describe(self, suffix: &str) -> String {
        match self {
            AtMost(bound) => format!("at most {bound}{suffix}"),
            AtLeast(bound) => format!("at least {bound}{suffix}"),
            Under(bound) => format!("under {bound}{suffix}"),
            Nothing => "none".to_owned(),
            Shown => String::new(),
        }
    }

    /// Returns whether the median is within the bound, and by how much it is not.
    fn verdict(self, measured: &Spread) -> String {
        let (bound, excess) = match self {
            AtMost(bound) | Under(bound) => (bound, measured.median / bound - 1.0),
            AtLeast(bound) => (bound, 1.0 - measured.median / bound),
            Nothing => return if measured.high == 0.0 { MET } else { "missed" }.to_owned(),
            Shown => return String::new(),
        };
        if excess < 0.0 || excess == 0.0 && !matches!(self, Under(_)) {
            return MET.to_owned();
        }
        let noise = if measured.contains(bound) { ", within the rounds" } else { "" };
        format!("missed by {:.1} %{noise}", excess * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{case, report};

    const TARGET: Target = target("one", "split to raw loop", "burst-1/split/1", "burst-1/raw-split/1", AtMost(3.0));

    #[track_caller]
    fn check(bound: Bound, measured: [f64; 3], expected: &str) {
        let [low, median, high] = measured;
        assert_eq!(bound.verdict(&Spread { median, low, high }), expected);
    }

    #[test]
    fn verdict_says_by_how_much_a_target_is_missed() {
        check(AtMost(2.0), [1.9, 2.0, 2.5], "met");
        check(AtMost(2.0), [2.1, 2.5, 2.6], "missed by 25.0 %");
        check(AtMost(1.0), [0.99, 1.004, 1.01], "missed by 0.4 %, within the rounds");
        check(AtLeast(8.0), [6.0, 9.0, 9.0], "met");
        check(AtLeast(8.0), [5.0, 6.0, 7.0], "missed by 25.0 %");
        check(Under(0.1), [0.05, 0.1, 0.1], "missed by 0.0 %, within the rounds");
        check(Under(0.1), [0.05, 0.09, 0.2], "met");
        check(Nothing, [0.0, 0.0, 0.0], "met");
        check(Nothing, [0.0, 0.0, 5.0], "missed");
        check(Shown, [1.0, 2.0, 3.0], "");
    }

    #[test]
    fn row_compares_within_rounds() {
        let report = report([
            case("burst-1", "split", "1", [9.0, 30.0, 20.0]),
            case("burst-1", "raw-split", "1", [5.0, 10.0, 4.0]),
        ]);
        let expected = ["one", "split to raw loop", "met", "at most 3 x", "3.00 x", "1.80 to 5.00", "2.25 x"];
        assert_eq!(TARGET.row(&report), expected);
    }

    #[test]
    fn target_is_met_by_either_of_two_yardsticks() {
        let report = report([
            case("burst-1", "split", "1", [10.0; 3]),
            case("burst-1", "raw-split", "1", [5.0; 3]),
            case("burst-1", "memcpy", "1", [10.0; 3]),
        ]);
        let verdict = |bound, other| {
            let target = Target { bound: AtMost(bound), ..TARGET }.or("burst-1/memcpy/1", AtMost(other));
            target.row(&report)[2].clone()
        };
        assert_eq!(verdict(2.0, 0.5), "met");
        assert_eq!(verdict(1.0, 1.0), "the other one is met");
        assert_eq!(verdict(1.0, 0.5), "missed by 100.0 %");
    }

    #[test]
    fn single_round_misses_what_is_to_be_nothing() {
        let target = alone("idle", "kick mode", "blk-idle/vhost-user-blk/kick mode", Nothing);
        let verdict = |last| {
            let times = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, last];
            target.row(&report([case("blk-idle", "vhost-user-blk", "kick mode", times)]))[2].clone()
        };
        assert_eq!([0.0, 5.0].map(verdict), ["met", "missed"]);
    }

    #[test]
    fn cases_that_are_missing_were_not_measured() {
        let report = report([case("burst-1", "split", "1", [10.0, 30.0, 20.0])]);
        assert!(rows(&[TARGET], &report).iter().all(|row| row[2] == "not measured" && row[4].is_empty()));
    }
}
