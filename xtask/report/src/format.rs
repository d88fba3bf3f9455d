//! Numbers for people.

use crate::spread::Spread;
use crate::unit::Unit;

/// Returns `value` with three digits that say something, or all those before the point.
pub fn number(value: f64) -> String {
    match value.abs() {
        magnitude if 0.0 < magnitude && magnitude < 0.0995 => format!("{value:.4}"),
        magnitude if magnitude < 9.995 => format!("{value:.2}"),
        magnitude if magnitude < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Returns the same without zeroes behind the point, for an axis.
pub fn short(value: f64) -> String {
    let number = number(value);
    if !number.contains('.') {
        return number;
    }
    number.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Returns a rate such as 62.1 M.
pub fn rate(per_second: f64) -> String {
    with_prefix(per_second, number)
}

/// Returns the same without zeroes behind the point, for an axis.
pub fn short_rate(per_second: f64) -> String {
    with_prefix(per_second, short)
}

fn with_prefix(per_second: f64, digits: fn(f64) -> String) -> String {
    let steps = [(1e9, " G"), (1e6, " M"), (1e3, " k")];
    let step = steps.iter().find(|(unit, _)| per_second >= *unit);
    step.map_or_else(|| digits(per_second), |(unit, prefix)| digits(per_second / unit) + prefix)
}

/// Returns a value of that unit, without the unit.
pub fn value(value: f64, unit: Unit) -> String {
    if unit.is_rate() { rate(value) } else { number(value) }
}

/// Returns between what a value varied, or nothing if it did not.
pub fn range(spread: &Spread, unit: Unit) -> String {
    if spread.low == spread.high {
        return String::new();
    }
    format!("{} to {}", value(spread.low, unit), value(spread.high, unit))
}

/// Returns a change, given as a factor, in percent.
pub fn percent(factor: f64) -> String {
    format!("{:+.1} %", (factor - 1.0) * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_has_three_digits_that_say_something() {
        let numbers = [0.0, 0.031_25, 1.6, 9.999, 13.04, 99.99, 177.2, 1234.5].map(number);
        assert_eq!(numbers, ["0.00", "0.0312", "1.60", "10.0", "13.0", "100", "177", "1234"]);
    }

    #[test]
    fn short_drops_zeroes_behind_the_point_only() {
        assert_eq!([0.0, 0.3, 1.0, 20.0, 100.0, 1.05].map(short), ["0", "0.3", "1", "20", "100", "1.05"]);
        assert_eq!([5e6, 0.0].map(short_rate), ["5 M", "0"]);
    }

    #[test]
    fn rate_has_a_prefix() {
        assert_eq!([2.5, 999.9, 1e3, 62_100_000.0, 1e9].map(rate), ["2.50", "1000", "1.00 k", "62.1 M", "1.00 G"]);
    }

    #[test]
    fn percent_has_a_sign() {
        assert_eq!([1.1, 0.975, 1.0].map(percent), ["+10.0 %", "-2.5 %", "+0.0 %"]);
    }
}
