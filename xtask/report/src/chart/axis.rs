//! Where an axis has its marks.

use core::ops::Range;

/// An axis on which equal distances are equal factors.
#[derive(Debug)]
pub(crate) struct LogAxis {
    pub(crate) range: Range<f64>,
    pub(crate) ticks: Vec<f64>,
}

/// Marks within each power of ten, from few to many.
const DENSITIES: [&[f64]; 4] = [
    &[1.0],
    &[1.0, 2.0, 5.0],
    &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
    &[1.0, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
];

/// As many marks are enough.
const ENOUGH: usize = 4;

impl LogAxis {
    /// An axis that is marked at exactly these values.
    pub(crate) fn with_ticks(ticks: Vec<f64>) -> Option<Self> {
        Some(Self { range: around(&ticks)?, ticks })
    }

    /// An axis for all of these values, marked with round numbers.
    pub(crate) fn for_values(values: &[f64]) -> Option<Self> {
        let range = around(values)?;
        let candidates = DENSITIES.map(|density| ticks(&range, density));
        let enough = candidates.iter().find(|ticks| ticks.len() >= ENOUGH);
        Some(Self { ticks: enough.or(candidates.last())?.clone(), range })
    }
}

/// Returns the range of all values, and a little more.
fn around(values: &[f64]) -> Option<Range<f64>> {
    let positive = || values.iter().copied().filter(|value| *value > 0.0 && value.is_finite());
    let (low, high) = (positive().min_by(f64::total_cmp)?, positive().max_by(f64::total_cmp)?);
    let margin = (high / low).powf(0.06).max(1.05);
    Some(low / margin..high * margin)
}

fn ticks(range: &Range<f64>, density: &[f64]) -> Vec<f64> {
    let decades = (-9..=12).map(|power| 10f64.powi(power));
    let all = decades.flat_map(|decade| density.iter().map(move |step| step * decade));
    all.filter(|tick| range.contains(tick)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: [f64; 2], expected: &[f64]) {
        assert_eq!(LogAxis::for_values(&values).unwrap().ticks, expected);
    }

    #[test]
    fn ticks_are_round_and_enough() {
        check([1.0, 12_000.0], &[1.0, 10.0, 100.0, 1000.0, 10_000.0]);
        check([1.6, 180.0], &[2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0]);
        check([0.98, 1.35], &[1.0, 1.1, 1.2, 1.3, 1.4]);
    }

    #[test]
    fn range_holds_all_values_and_no_nonsense() {
        let axis = LogAxis::for_values(&[4.0, 0.0, f64::NAN, 2.0]).unwrap();
        assert!(axis.range.start < 2.0 && 4.0 < axis.range.end);
        assert!(LogAxis::for_values(&[]).is_none());
    }
}
