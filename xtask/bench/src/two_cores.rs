//! Driver and device on a core each: what the program prints.

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;

use super::filter::Filter;
use super::measurement::Measurement;
use super::programs::{Program, run};
use xtask_report::spread::Round;
use xtask_report::{CaseId, Unit};
use xtask_support::Spinner;

const FIGURE: &str = "two-cores";

/// One element of the array that it prints.
#[derive(Deserialize)]
struct Entry {
    #[serde(flatten)]
    id: CaseId,
    unit: Unit,
    samples: Vec<f64>,
    p99: Option<f64>,
}

/// Returns whether any case is. The program measures all or none.
pub(crate) fn is_wanted(filter: &Filter) -> bool {
    let contenders = ["split", "packed", "raw-split", "raw-packed"];
    let values = ["throughput", "latency"];
    let mut ids = contenders.iter().flat_map(|contender| values.map(|value| CaseId::new(FIGURE, contender, value)));
    ids.any(|id| filter.matches(&id))
}

/// Runs it once.
pub(crate) fn measure(program: &Program, spinner: &Spinner) -> Result<Vec<Measurement>> {
    let printed = run(program.call(), spinner)?;
    parse(&printed).with_context(|| format!("{} printed\n{printed}", program.path.display()))
}

fn parse(printed: &str) -> Result<Vec<Measurement>> {
    serde_json::from_str::<Vec<Entry>>(printed)?.into_iter().map(measurement).collect()
}

fn measurement(entry: Entry) -> Result<Measurement> {
    let Entry { id, unit, samples, p99 } = entry;
    let round = Round::of_samples(samples).ok_or_else(|| anyhow!("{id} has no samples"))?;
    Ok(Measurement { id, unit, round: Round { p99, ..round } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_array_is_read() {
        let printed = r#"[{"figure":"two-cores","contender":"split","value":"latency","unit":"ns",
            "median":2.0,"low":1.0,"high":3.0,"samples":[3.0,1.0,2.0],"p99":9.0}]"#;
        let round = Round { low: 1.5, high: 2.5, least: 1.0, most: 3.0, p99: Some(9.0), ..Round::exact(2.0) };
        let id = CaseId::new("two-cores", "split", "latency");
        assert_eq!(parse(printed).unwrap(), [Measurement { id, unit: Unit::Nanoseconds, round }]);
        assert!(parse(&printed.replace("3.0,1.0,2.0", "")).is_err());
        assert!(parse("[").is_err());
    }

    #[test]
    fn filter_for_one_core_skips_it() {
        assert!(is_wanted(&Filter::default()));
        assert!(is_wanted(&"two-cores/raw-packed/latency".parse().unwrap()));
        assert!(!is_wanted(&"chain-direct".parse().unwrap()));
    }
}
