//! What became of each case.
//!
//! A machine that others use too becomes slower and faster by itself, for a moment or for minutes. So what is compared
//! is not the time of a case, but its ratio to a yardstick that does the same work, in the same round: what slows both
//! down does not show. There are two, the raw loop or the plain copy, and the peer. Load slows code down that computes
//! more than code that waits for memory, so the one that makes less of the change is believed. Where there is none, the
//! time is compared, at the pace of all yardsticks.
//!
//! A change counts only if both of these are beyond the threshold:
//!
//! * How far the rounds of the two reports lie apart, from the upper quartile of the one to the lower one of the other.
//!   What is outside the quartiles does not count, because a machine that is slow for a while is so in some rounds and
//!   not in others.
//! * By how much the best samples of all rounds differ. Disturbances only ever cost time, so one sample without any is
//!   enough to show that the code is as fast as before. But a report may have had none: these have to differ by more
//!   than a yardstick does from one round to another, too.
//!
//! Instructions are counted, so for them these are one and the same.

use super::factor::{Factor, Pace};
use xtask_report::contender::{is_yardstick, limits, peer};
use xtask_report::figure::{Figure, figures};
use xtask_report::format::{number, percent, value};
use xtask_report::{Case, CaseId, Report, Unit};

/// A change of an instruction count, in percent, that is never tolerated.
const INSTRUCTIONS: f64 = 2.0;

/// Two reports, case by case.
#[derive(Debug)]
pub(super) struct Comparison<'r> {
    /// What there is in the new report.
    pub(super) figures: Vec<Figure<'r>>,
    /// In the order of figures.
    pub(super) changes: Vec<Change<'r>>,
    pub(super) only_base: Vec<&'r CaseId>,
    pub(super) only_new: Vec<&'r CaseId>,
    pub(super) pace: Pace,
}

/// One case that is in both.
#[derive(Debug)]
pub(super) struct Change<'r> {
    pub(super) base: &'r Case,
    pub(super) new: &'r Case,
    pub(super) factor: Factor<'r>,
    pub(super) verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Slower,
    Faster,
    /// A change of the median beyond the threshold that the quartiles or the best samples do not share.
    Noise,
    Steady,
    /// Not ours to be fast or slow.
    Yardstick,
}

impl<'r> Comparison<'r> {
    /// Compares all cases. Changes below `threshold`, in percent, do not count.
    pub(super) fn new(base: &'r Report, new: &'r Report, threshold: f64) -> Self {
        let lacks = |report: &Report, case: &Case| find(report, case).is_none();
        let pace = pace(base, new);
        Self {
            figures: figures(new),
            changes: in_order(new)
                .into_iter()
                .filter_map(|case| Change::of(base, new, case, &pace, threshold))
                .collect(),
            only_base: in_order(base).into_iter().filter(|case| lacks(new, case)).map(|case| &case.id).collect(),
            only_new: in_order(new).into_iter().filter(|case| lacks(base, case)).map(|case| &case.id).collect(),
            pace,
        }
    }
}

fn pace(base: &Report, new: &Report) -> Pace {
    let yardsticks = new.cases.iter().filter(|case| is_yardstick(case.contender()) && case.unit != Unit::Instructions);
    let pairs: Vec<_> = yardsticks.filter_map(|case| Some([find(base, case)?, case])).collect();
    Pace::of(&pairs).unwrap_or(Pace::STEADY)
}

/// Returns all cases in the order of figures.
fn in_order(report: &Report) -> Vec<&Case> {
    figures(report).iter().flat_map(|figure| figure.cases(report)).collect()
}

/// Compares with all yardsticks that both reports have, and returns what the one says that makes less of the change.
fn with_yardsticks<'r>(base: &'r Report, before: &Case, new: &'r Report, after: &Case) -> Option<Factor<'r>> {
    let in_both = |name| Some([base.counterpart(before, name)?, new.counterpart(after, name)?]);
    let yardsticks = limits(after.contender()).into_iter().chain([peer(after.contender())]).filter_map(in_both);
    let factors = yardsticks.filter_map(|yardsticks| Factor::with_yardstick([before, after], yardsticks));
    factors.min_by(|one, other| one.size().total_cmp(&other.size()))
}

fn find<'r>(report: &'r Report, case: &Case) -> Option<&'r Case> {
    report.cases.iter().find(|other| other.id == case.id && other.unit == case.unit)
}

/// What the columns of [`Change::row`] are.
pub(super) const HEAD: [&str; 10] =
    ["figure", "value", "contender", "base", "new", "compared with", "times that", "change", "range", "verdict"];

/// How many of the columns are texts.
pub(super) const TEXTS: usize = 3;

impl<'r> Change<'r> {
    fn of(base: &'r Report, new: &'r Report, after: &'r Case, pace: &Pace, threshold: f64) -> Option<Self> {
        let before = find(base, after)?;
        let yardstick = is_yardstick(after.contender());
        let counted = after.unit == Unit::Instructions;
        let factor = if yardstick || counted { None } else { with_yardsticks(base, before, new, after) };
        // What was nothing has not become so many times as much: that is for a target to judge.
        let own = if after.unit == Unit::Nanoseconds && !yardstick { pace } else { &Pace::STEADY };
        let factor = factor.or_else(|| Factor::at_pace([before, after], own)).filter(Factor::is_finite)?;
        let (threshold, swing) = if counted { (threshold.min(INSTRUCTIONS), 1.0) } else { (threshold, pace.swing) };
        let verdict = if yardstick { Verdict::Yardstick } else { Verdict::of(&factor, threshold, swing) };
        Some(Self { base: before, new: after, factor, verdict })
    }

    /// Returns the row of a table.
    pub(super) fn row(&self) -> Vec<String> {
        let measured = |case: &Case| case.spread().map_or(String::new(), |spread| value(spread.median, case.unit));
        let CaseId { figure, contender, value } = &self.new.id;
        let Factor { spread, yardstick, .. } = &self.factor;
        vec![
            figure.clone(),
            value.clone(),
            contender.clone(),
            measured(self.base),
            measured(self.new),
            yardstick.map_or(String::new(), |(name, _)| name.to_owned()),
            yardstick.map_or(String::new(), |(_, ratios)| ratios.map(number).join(" to ")),
            percent(spread.median),
            format!("{} to {}", percent(spread.low), percent(spread.high)),
            self.verdict.describe().to_owned(),
        ]
    }
}

impl Verdict {
    fn of(Factor { spread, best, .. }: &Factor<'_>, threshold: f64, swing: f64) -> Self {
        let slower = 1.0 + threshold / 100.0;
        let faster = 1.0 / slower;
        if spread.low > slower && *best > slower.max(swing) {
            Self::Slower
        } else if spread.high < faster && *best < faster.min(1.0 / swing) {
            Self::Faster
        } else if spread.median > slower || spread.median < faster {
            Self::Noise
        } else {
            Self::Steady
        }
    }

    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Slower => "slower",
            Self::Faster => "faster",
            Self::Noise => "noise",
            Self::Steady => "steady",
            Self::Yardstick => "yardstick",
        }
    }

    /// Returns whether it is worth a line where there are many.
    pub(super) fn is_shown(self) -> bool {
        matches!(self, Self::Slower | Self::Faster | Self::Noise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask_report::contender::PEER;
    use xtask_report::synthetic::{case, instructions, report};

    /// Compares one case of ours, next to a limit that takes 5, 5.2 and 5.
    #[track_caller]
    fn check(base: [f64; 3], new: [f64; 3], expected: Verdict) {
        let report =
            |ours| report([case("burst-1", "split", "1", ours), case("burst-1", "raw-split", "1", [5.0, 5.2, 5.0])]);
        let (base, new) = (report(base), report(new));
        let comparison = Comparison::new(&base, &new, 10.0);
        assert_eq!(comparison.changes[0].verdict, expected, "{:?}", comparison.changes[0].factor);
        assert_eq!(comparison.changes[1].verdict, Verdict::Yardstick);
    }

    #[test]
    fn same_report_is_steady() {
        check([10.0, 10.4, 10.0], [10.0, 10.4, 10.0], Verdict::Steady);
    }

    #[test]
    fn change_beyond_threshold_and_noise_counts() {
        check([10.0, 10.4, 10.0], [11.2, 11.6, 11.2], Verdict::Slower);
        check([11.2, 11.6, 11.2], [10.0, 10.4, 10.0], Verdict::Faster);
        check([10.0, 10.4, 10.0], [10.9, 11.3, 10.9], Verdict::Steady);
    }

    #[test]
    fn change_within_what_the_rounds_vary_is_noise() {
        check([10.0, 15.0, 10.0], [11.5, 14.0, 11.5], Verdict::Noise);
        check([11.5, 14.0, 11.5], [10.0, 15.0, 10.0], Verdict::Noise);
        // Apart, but hardly.
        check([10.0, 12.0, 10.0], [11.5, 12.3, 11.5], Verdict::Noise);
        check([11.5, 12.3, 11.5], [10.0, 12.0, 10.0], Verdict::Noise);
    }

    #[test]
    fn change_of_all_but_the_best_samples_is_noise() {
        // Slow for as long as both, but for one sample.
        let calm = case("regions", "split", "512", [10.0, 10.0, 10.0]);
        let mut busy = case("regions", "split", "512", [20.0, 19.0, 20.0]);
        let (base, new) = (report([calm.clone()]), report([busy.clone()]));
        assert_eq!(Comparison::new(&base, &new, 10.0).changes[0].verdict, Verdict::Slower);
        busy.rounds[1].least = 10.5;
        let new = report([busy]);
        assert_eq!(Comparison::new(&base, &new, 10.0).changes[0].verdict, Verdict::Noise);
        assert_eq!(Comparison::new(&new, &base, 10.0).changes[0].verdict, Verdict::Noise);
    }

    #[test]
    fn round_that_was_disturbed_is_no_change() {
        check([10.0, 10.4, 10.0], [10.0, 10.4, 40.0], Verdict::Steady);
    }

    #[test]
    fn change_is_seen_in_spite_of_a_round_that_was_disturbed() {
        let report = |disturbed: f64, time: f64| {
            let mut times = [time; 7];
            times[3] = disturbed;
            report([case("regions", "split", "512", times)])
        };
        let (base, new) = (report(20.0, 10.0), report(30.0, 11.2));
        assert_eq!(Comparison::new(&base, &new, 10.0).changes[0].verdict, Verdict::Slower);
    }

    #[test]
    fn machine_that_slows_both_down_is_no_change() {
        let report = |slow: f64| {
            let ours = [10.0, 10.1, 10.2].map(|time| time * slow);
            report([
                case("burst-1", "split", "1", ours),
                case("burst-1", "raw-split", "1", [5.0 * slow; 3]),
                case("burst-1", PEER, "1", [50.0 * slow; 3]),
            ])
        };
        let (base, new) = (report(1.0), report(1.5));
        let comparison = Comparison::new(&base, &new, 10.0);
        assert_eq!(comparison.changes[0].verdict, Verdict::Steady);
        assert_eq!([comparison.pace.spread.median, comparison.pace.best], [1.5; 2]);
    }

    #[test]
    fn load_that_spares_the_limit_but_not_the_peer_is_no_change() {
        let report = |load: f64| {
            report([
                case("burst-1", "packed", "1", [10.0 * load; 3]),
                case("burst-1", "raw-packed", "1", [2.0; 3]),
                case("burst-1", PEER, "1", [50.0 * load; 3]),
            ])
        };
        let (base, new) = (report(1.0), report(2.0));
        assert_eq!(Comparison::new(&base, &new, 10.0).changes[0].verdict, Verdict::Steady);
    }

    #[test]
    fn case_without_limit_is_compared_at_the_pace_of_the_yardsticks() {
        let report = |slow: f64| {
            report([case("regions", "split", "1", [10.0 * slow; 3]), case("payload-read", "memcpy", "64", [slow; 3])])
        };
        let (base, new) = (report(1.0), report(1.5));
        assert_eq!(Comparison::new(&base, &new, 10.0).changes[0].verdict, Verdict::Steady);
    }

    #[test]
    fn case_that_became_faster_on_a_slower_machine_is_seen() {
        let report = |slow: f64, ours: f64| {
            report([
                case("burst-1", "split", "1", [10.0 * ours * slow; 3]),
                case("burst-1", "raw-split", "1", [5.0 * slow; 3]),
                case("regions", "split", "512", [10.0 * ours * slow; 3]),
            ])
        };
        let (base, new) = (report(1.0, 1.0), report(1.5, 0.8));
        let verdicts: Vec<_> = Comparison::new(&base, &new, 10.0).changes.iter().map(|change| change.verdict).collect();
        assert_eq!(verdicts, [Verdict::Faster, Verdict::Yardstick, Verdict::Faster]);
    }

    #[test]
    fn case_without_limit_is_compared_on_a_machine_that_became_busy() {
        // Of what did not change, the best sample is as it was.
        let report = |ours: [f64; 2], yardstick: [f64; 2]| {
            let case = |figure, contender, [time, least]: [f64; 2]| {
                let mut case = case(figure, contender, "512", [time; 7]);
                case.rounds[0].least = least;
                case
            };
            report([case("regions", "split", ours), case("payload-read", "memcpy", yardstick)])
        };
        let (base, new) = (report([10.0, 10.0], [1.0, 1.0]), report([18.0, 12.0], [1.5, 1.0]));
        assert_eq!(Comparison::new(&base, &new, 10.0).changes[0].verdict, Verdict::Slower);
    }

    #[test]
    fn change_by_less_than_the_machine_swings_is_noise() {
        let verdict = |time: f64, counted: f64| {
            let [base, new] = [[10.0, 1000.0], [time, counted]].map(|[time, counted]| {
                report([
                    case("regions", "split", "512", [time; 7]),
                    case("payload-read", "memcpy", "64", [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0]),
                    instructions("split", "8", counted),
                ])
            });
            let changes = Comparison::new(&base, &new, 10.0).changes;
            changes
                .iter()
                .map(|change| change.verdict)
                .filter(|verdict| *verdict != Verdict::Yardstick)
                .collect::<Vec<_>>()
        };
        assert_eq!(verdict(30.0, 1030.0), [Verdict::Slower; 2]);
        assert_eq!(verdict(19.0, 1030.0), [Verdict::Noise, Verdict::Slower]);
        assert_eq!(verdict(3.0, 970.0), [Verdict::Faster; 2]);
        assert_eq!(verdict(6.0, 970.0), [Verdict::Noise, Verdict::Faster]);
    }

    #[test]
    fn case_without_limit_is_compared_by_its_time() {
        let report = |time| report([case("regions", "split", "512", [time; 3])]);
        let (base, new) = (report(10.0), report(11.5));
        assert_eq!(Comparison::new(&base, &new, 10.0).changes[0].verdict, Verdict::Slower);
        assert_eq!(Comparison::new(&base, &new, 20.0).changes[0].verdict, Verdict::Steady);
    }

    #[test]
    fn fewer_chains_per_second_are_slower() {
        let report = |rate| {
            let mut case = case("two-cores", "split", "throughput", [rate; 3]);
            case.unit = Unit::ChainsPerSecond;
            report([case])
        };
        let (base, new) = (report(1e7), report(8e6));
        assert_eq!(Comparison::new(&base, &new, 10.0).changes[0].verdict, Verdict::Slower);
        assert_eq!(Comparison::new(&new, &base, 10.0).changes[0].verdict, Verdict::Faster);
    }

    #[test]
    fn rate_of_a_device_is_compared_with_its_peer() {
        let report = |ours, peer| {
            report([("vhost-user-net", ours), ("net_vhost", peer)].map(|(contender, rate)| {
                let mut case = case("net-to-device", contender, "split", [rate; 3]);
                case.unit = Unit::PacketsPerSecond;
                case
            }))
        };
        let base = report(1e7, 1e7);
        let verdicts = |ours, peer| {
            let new = report(ours, peer);
            Comparison::new(&base, &new, 10.0).changes.iter().map(|change| change.verdict).collect::<Vec<_>>()
        };
        assert_eq!(verdicts(5e6, 5e6), [Verdict::Steady, Verdict::Yardstick]);
        assert_eq!(verdicts(5e6, 1e7), [Verdict::Slower, Verdict::Yardstick]);
    }

    #[test]
    fn what_was_nothing_is_no_change() {
        let report = |time| report([case("blk-idle", "vhost-user-blk", "kick mode", [time; 3])]);
        for [before, after] in [[0.0, 0.0], [0.0, 5.0]] {
            assert!(Comparison::new(&report(before), &report(after), 10.0).changes.is_empty());
        }
    }

    #[test]
    fn instruction_counts_have_a_threshold_of_their_own() {
        let report = |count| report([instructions("split", "8", count), instructions("raw-split", "8", count)]);
        let verdict = |count| Comparison::new(&report(1000.0), &report(count), 10.0).changes[0].verdict;
        assert_eq!([1025.0, 1019.0, 970.0].map(verdict), [Verdict::Slower, Verdict::Steady, Verdict::Faster]);
    }
}
