//! By which factor the cost of a case changed.

use xtask_report::spread::Spread;
use xtask_report::{Case, Unit};

/// A change of the cost. More is slower.
#[derive(Debug)]
pub(super) struct Factor<'r> {
    /// The factor, and between what it is from quartile to quartile: of the case before and after, and of the pace.
    pub(super) spread: Spread,
    /// The factor of the best samples.
    pub(super) best: f64,
    /// With which yardstick it was compared in each round, and how many times that it took before and after.
    pub(super) yardstick: Option<(&'r str, [f64; 2])>,
}

/// By which factor all yardsticks changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// The median, and the quartiles.
    pub(super) spread: Spread,
    /// The median of those of the best samples, which a machine that is busy for a while does not change.
    pub(super) best: f64,
    /// By which factor a yardstick varies from one round to another, which is the machine's doing.
    pub(super) swing: f64,
}

impl Pace {
    /// That of a machine that does not change.
    pub(super) const STEADY: Self = Self { spread: Spread { median: 1.0, low: 1.0, high: 1.0 }, best: 1.0, swing: 1.0 };

    /// Joins what was measured of each yardstick before and after, unless there is none.
    pub(super) fn of(yardsticks: &[[&Case; 2]]) -> Option<Self> {
        let factors: Vec<_> = yardsticks.iter().filter_map(|pair| Factor::at_pace(*pair, &Self::STEADY)).collect();
        let swings = yardsticks.iter().flatten().filter_map(|case| Spread::range(case.values()));
        Some(Self {
            spread: Spread::middle(factors.iter().map(|factor| factor.spread.median))?,
            best: Spread::middle(factors.iter().map(|factor| factor.best))?.median,
            swing: Spread::middle(swings.map(|range| range.high / range.low))?.median,
        })
    }
}

impl<'r> Factor<'r> {
    /// Compares how many times a yardstick a case takes, before and after.
    pub(super) fn with_yardstick(cases: [&Case; 2], yardsticks: [&'r Case; 2]) -> Option<Self> {
        let ([before, after], [by_before, by_after]) = (cases, yardsticks);
        let (from, to) = (before.relative_to(by_before)?, after.relative_to(by_after)?);
        let best = (after.best()? / by_after.best()?) / (before.best()? / by_before.best()?);
        let yardstick = (by_after.contender(), [from.median, to.median]);
        Some(Self { yardstick: Some(yardstick), ..Self::of_cost(after.unit, &from, &to, best) })
    }

    /// Compares a case with itself, when all else took `pace` times as long as before.
    pub(super) fn at_pace([before, after]: [&Case; 2], pace: &Pace) -> Option<Self> {
        let (from, to) = (before.spread()?, after.spread()?.relative_to(&pace.spread));
        Some(Self::of_cost(after.unit, &from, &to, after.best()? / before.best()? / pace.best))
    }

    fn of_cost(unit: Unit, from: &Spread, to: &Spread, best: f64) -> Self {
        // More chains per second cost less.
        let (spread, best) =
            if unit.is_rate() { (from.relative_to(to), 1.0 / best) } else { (to.relative_to(from), best) };
        Self { spread, best, yardstick: None }
    }

    pub(super) fn is_finite(&self) -> bool {
        [self.spread.low, self.spread.median, self.spread.high, self.best].iter().all(|factor| factor.is_finite())
    }

    /// Returns how much of a change it is, whether up or down.
    pub(super) fn size(&self) -> f64 {
        self.spread.median.ln().abs()
    }
}
