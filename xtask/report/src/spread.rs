//! What was measured more than once: a value, and between what it varied.

use serde::{Deserialize, Serialize};

/// The samples of one round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Round {
    pub median: f64,
    /// The lower quartile, which is only put on record, as is the upper one.
    pub low: f64,
    pub high: f64,
    pub least: f64,
    pub most: f64,
    /// What one in a hundred exceeds, for latencies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
}

/// The median of several values, and their quartiles or the least and the greatest of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Round {
    /// Sums up samples; there is nothing to sum up if there are none.
    pub fn of_samples(samples: Vec<f64>) -> Option<Self> {
        let [least, low, median, high, most] = quartiles(samples)?;
        Some(Self { median, low, high, least, most, p99: None })
    }

    /// Sums up how long things took, which [`of_samples`](Self::of_samples) does as well, but for the 99th percentile.
    pub fn of_latencies(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_unstable_by(f64::total_cmp);
        let p99 = samples.get(samples.len() * 99 / 100).copied();
        Some(Self { p99, ..Self::of_samples(samples)? })
    }

    /// What is counted rather than measured.
    pub fn exact(value: f64) -> Self {
        Self { median: value, low: value, high: value, least: value, most: value, p99: None }
    }
}

impl Spread {
    /// Returns the median of some values and their quartiles, unless there is none.
    pub fn middle(values: impl Iterator<Item = f64>) -> Option<Self> {
        let [_, low, median, high, _] = quartiles(values.collect())?;
        Some(Self { median, low, high })
    }

    /// Returns the median of some values, the least and the greatest, unless there is none.
    pub fn range(values: impl Iterator<Item = f64>) -> Option<Self> {
        let [low, _, median, _, high] = quartiles(values.collect())?;
        Some(Self { median, low, high })
    }

    /// Returns how many times `other` this is, at least and at most if the two vary without regard to each other.
    pub fn relative_to(&self, other: &Self) -> Self {
        let (low, high) = (self.low / other.high, self.high / other.low);
        Self { median: self.median / other.median, low, high }
    }

    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// Returns the least value, the lower quartile, the median, the upper quartile and the greatest value, unless there is
/// none.
fn quartiles(mut values: Vec<f64>) -> Option<[f64; 5]> {
    values.sort_by(f64::total_cmp);
    let [least, low, median, high, most] = [0, 1, 2, 3, 4].map(|quarters| quartile(&values, quarters));
    Some([least?, low?, median?, high?, most?])
}

/// Returns the value below which so many quarters of the samples are, between two samples if need be.
fn quartile(sorted: &[f64], quarters: usize) -> Option<f64> {
    let position = sorted.len().checked_sub(1)? * quarters;
    let before = *sorted.get(position / 4)?;
    let after = sorted.get(position / 4 + 1).copied().unwrap_or(before);
    let share = [0.0, 0.25, 0.5, 0.75].get(position % 4)?;
    Some(before + (after - before) * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_on_or_between_samples() {
        let round = Round::of_samples(vec![5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
        assert_eq!((round.low, round.median, round.high), (2.0, 3.0, 4.0));
        assert_eq!((round.least, round.most), (1.0, 5.0));
        let round = Round::of_samples(vec![4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!((round.low, round.median, round.high), (1.75, 2.5, 3.25));
        assert_eq!(Round::of_samples(vec![7.0]), Some(Round::exact(7.0)));
        assert_eq!(Round::of_samples(Vec::new()), None);
    }

    #[test]
    fn one_latency_in_a_hundred_exceeds_the_99th_percentile() {
        let samples: Vec<_> = (1..=200).rev().map(f64::from).collect();
        let round = Round::of_latencies(samples).unwrap();
        assert_eq!((round.median, round.p99, round.most), (100.5, Some(199.0), 200.0));
        assert_eq!(Round::of_latencies(vec![7.0]).unwrap().p99, Some(7.0));
        assert_eq!(Round::of_latencies(Vec::new()), None);
    }

    #[test]
    fn middle_leaves_out_a_quarter_on_either_side() {
        let values = || [9.0, 3.0, 2.0, 4.0, 1.0].into_iter();
        assert_eq!(Spread::middle(values()), Some(Spread { median: 3.0, low: 2.0, high: 4.0 }));
        assert_eq!(Spread::range(values()), Some(Spread { median: 3.0, low: 1.0, high: 9.0 }));
        assert_eq!(Spread::middle(core::iter::empty()), None);
    }

    #[test]
    fn ratio_of_spreads_is_as_wide_as_both() {
        let spread = Spread { median: 2.0, low: 1.0, high: 4.0 };
        let other = Spread { median: 1.0, low: 0.5, high: 2.0 };
        assert_eq!(spread.relative_to(&other), Spread { median: 2.0, low: 0.5, high: 8.0 });
    }
}
