//! All cases, measured in rounds: each contender meets the machine as it is early, in the middle and late.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::filter::Filter;
use super::measurement::{Measurement, step};
use super::programs::Programs;
use super::{criterion, instructions, two_cores};
use xtask_report::Case;

/// How often everything is measured. With an odd number, a round that was disturbed does not show in the median.
pub(crate) const ROUNDS: usize = 7;

/// Measures the cases that `filter` wants.
pub(crate) fn measure(programs: &Programs, filter: &Filter) -> Result<Vec<Case>> {
    // A tool that is missing is to be known now, and not after minutes.
    let counters = [
        instructions::Counter::new(&programs.instructions, "instructions", filter)?,
        instructions::Counter::new(&programs.instructions_lto, "instructions-lto", filter)?,
    ];
    let mut rounds = Vec::new();
    for number in 1..=ROUNDS {
        let title = |what| format!("round {number} of {ROUNDS}, {what}");
        let mut round =
            step(&title("one core"), |spinner| criterion::measure(&programs.virtqueue, number, filter, spinner))?;
        if two_cores::is_wanted(filter) {
            round.extend(step(&title("two cores"), |spinner| two_cores::measure(&programs.two_cores, spinner))?);
        }
        rounds.push(round);
    }
    let mut cases = join(rounds)?;
    for counter in counters.into_iter().flatten() {
        let counts = step("instruction counts", |spinner| counter.count(spinner))?;
        cases.extend(join(vec![counts])?);
    }
    cases.retain(|case| filter.matches(&case.id));
    Ok(cases)
}

/// Puts together what was measured of each case.
///
/// # Errors
///
/// If a case was not measured once in every round: a ratio within a round needs both of its cases.
fn join(rounds: Vec<Vec<Measurement>>) -> Result<Vec<Case>> {
    let count = rounds.len();
    let mut cases = BTreeMap::new();
    for Measurement { id, unit, round } in rounds.into_iter().flatten() {
        cases.entry(id).or_insert_with(|| (unit, Vec::new())).1.push(round);
    }
    for (id, (_, rounds)) in &cases {
        ensure!(rounds.len() == count, "{id} was measured {} times in {count} rounds", rounds.len());
    }
    Ok(cases.into_iter().map(|(id, (unit, rounds))| Case { id, unit, rounds }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    use xtask_report::spread::Round;
    use xtask_report::{CaseId, Unit};

    fn round(names: &[&str]) -> Vec<Measurement> {
        let id = |name: &&str| CaseId::new("order", name, "1");
        let measurement = |name| Measurement { id: id(name), unit: Unit::Nanoseconds, round: Round::exact(1.0) };
        names.iter().map(measurement).collect()
    }

    #[test]
    fn case_that_a_round_lacks_is_refused() {
        let cases = join(vec![round(&["a", "b"]), round(&["b", "a"])]).unwrap();
        assert!(cases.iter().all(|case| case.rounds.len() == 2));
        assert!(join(vec![round(&["a", "b"]), round(&["a"])]).is_err());
        assert!(join(vec![round(&["a", "a"]), round(&["b", "b"])]).is_ok(), "twice in one round is not seen");
    }
}
