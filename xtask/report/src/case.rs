//! One thing that was measured.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::spread::{Round, Spread};
use crate::unit::Unit;

/// What names a case in every report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CaseId {
    /// What is varied.
    pub figure: String,
    /// Who does it.
    pub contender: String,
    /// Where on the axis.
    pub value: String,
}

/// One thing that was measured, in every round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Case {
    #[serde(flatten)]
    pub id: CaseId,
    pub unit: Unit,
    pub rounds: Vec<Round>,
}

impl CaseId {
    pub fn new(figure: &str, contender: &str, value: &str) -> Self {
        Self { figure: figure.to_owned(), contender: contender.to_owned(), value: value.to_owned() }
    }
}

impl fmt::Display for CaseId {
    /// Writes the name, as criterion has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { figure, contender, value } = self;
        write!(f, "{figure}/{contender}/{value}")
    }
}

impl Case {
    /// A case of which only one value is known in each round.
    pub fn of_values(id: CaseId, unit: Unit, values: Vec<f64>) -> Self {
        Self { id, unit, rounds: values.into_iter().map(Round::exact).collect() }
    }

    pub fn figure(&self) -> &str {
        &self.id.figure
    }

    pub fn contender(&self) -> &str {
        &self.id.contender
    }

    pub fn value(&self) -> &str {
        &self.id.value
    }

    /// Returns what each round has shown.
    pub fn values(&self) -> impl Iterator<Item = f64> {
        self.rounds.iter().map(|round| round.median)
    }

    /// Returns the median over the rounds, and the quartiles.
    pub fn spread(&self) -> Option<Spread> {
        Spread::middle(self.values())
    }

    /// Returns the best sample of all: what the case can do where nothing disturbs it.
    pub fn best(&self) -> Option<f64> {
        let rounds = self.rounds.iter();
        if self.unit.is_rate() {
            rounds.map(|round| round.most).max_by(f64::total_cmp)
        } else {
            rounds.map(|round| round.least).min_by(f64::total_cmp)
        }
    }

    /// Returns how many times `other` this is, in each round. What slows the machine down for longer than a round does
    /// not show in that.
    pub fn ratios(&self, other: &Self) -> impl Iterator<Item = f64> {
        self.values().zip(other.values()).map(|(value, other)| value / other)
    }

    /// Returns the median of that, and the quartiles.
    pub fn relative_to(&self, other: &Self) -> Option<Spread> {
        Spread::middle(self.ratios(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::case;

    #[test]
    fn ratio_of_two_cases_is_taken_in_each_round() {
        // A machine that becomes slower from round to round.
        let ours = case("burst-1", "split", "1", [10.0, 20.0, 40.0]);
        let limit = case("burst-1", "raw-split", "1", [5.0, 10.0, 10.0]);
        assert_eq!(ours.relative_to(&limit), Some(Spread { median: 2.0, low: 2.0, high: 3.0 }));
    }
}
