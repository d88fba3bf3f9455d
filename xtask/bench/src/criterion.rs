//! Cases on one core: what criterion measured.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::filter::Filter;
use super::measurement::Measurement;
use super::programs::{Program, run};
use xtask_report::spread::Round;
use xtask_report::{CaseId, Unit};
use xtask_support::Spinner;
use xtask_support::cargo::metadata;

/// A case, as criterion's benchmark.json has it.
#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
}

/// What was measured of it: how long how many iterations took.
#[derive(Deserialize)]
struct Sample {
    iters: Vec<f64>,
    times: Vec<f64>,
}

/// Runs one round.
pub(crate) fn measure(
    program: &Program,
    number: usize,
    filter: &Filter,
    spinner: &Spinner,
) -> Result<Vec<Measurement>> {
    let home: PathBuf = metadata()?.target_directory.join(format!("bench-rounds/{number}")).into();
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    fs::create_dir_all(&home)?;
    let mut command = program.call();
    command.arg("--noplot").args(filter.pattern()).env("CRITERION_HOME", &home);
    run(command, spinner)?;
    read(&home)
}

/// Reads all results below `directory`. Names of directories say nothing, since criterion changes letters in them.
fn read(directory: &Path) -> Result<Vec<Measurement>> {
    let benchmark = directory.join("new/benchmark.json");
    if benchmark.exists() {
        return Ok(vec![measurement(&json(&benchmark)?, json(&directory.join("new/sample.json"))?)?]);
    }
    let mut measurements = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            measurements.extend(read(&path)?);
        }
    }
    Ok(measurements)
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}

fn measurement(benchmark: &Benchmark, sample: Sample) -> Result<Measurement> {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    let id = CaseId {
        figure: benchmark.group_id.clone(),
        contender: part(&benchmark.function_id),
        value: part(&benchmark.value_str),
    };
    // An iteration is one chain, or one payload.
    let times = sample.times.iter().zip(&sample.iters).map(|(time, iterations)| time / iterations);
    let round = Round::of_samples(times.collect()).ok_or_else(|| anyhow!("{id} has no samples"))?;
    Ok(Measurement { id, unit: Unit::Nanoseconds, round })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_named_by_what_is_in_them() {
        let home = std::env::temp_dir().join(format!("virtio-xtask-criterion-{}", std::process::id()));
        let directory = home.join("chain_direct/split/8/new");
        fs::create_dir_all(&directory).unwrap();
        let benchmark =
            r#"{"group_id":"chain/direct","function_id":"split","value_str":"8","throughput":{"Elements":1}}"#;
        fs::write(directory.join("benchmark.json"), benchmark).unwrap();
        let sample = r#"{"sampling_mode":"Linear","iters":[1.0,2.0,3.0],"times":[10.0,24.0,33.0]}"#;
        fs::write(directory.join("sample.json"), sample).unwrap();
        let round = Round { low: 10.5, high: 11.5, least: 10.0, most: 12.0, ..Round::exact(11.0) };
        let id = CaseId::new("chain/direct", "split", "8");
        assert_eq!(read(&home).unwrap(), [Measurement { id, unit: Unit::Nanoseconds, round }]);

        fs::write(directory.join("sample.json"), r#"{"iters":[]"#).unwrap();
        assert!(read(&home).unwrap_err().to_string().ends_with("sample.json"));
        fs::remove_dir_all(&home).unwrap();
    }
}
