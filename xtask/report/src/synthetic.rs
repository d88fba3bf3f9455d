//! Reports that nobody measured, to test with.

use std::collections::BTreeMap;

use crate::about::{About, Extent, Machine, Seconds, Toolchain};
use crate::case::{Case, CaseId};
use crate::report::Report;
use crate::spread::Round;
use crate::unit::Unit;

/// Returns a case with these medians, quartiles one percent away, and all samples within two percent.
pub fn case(figure: &str, contender: &str, value: &str, medians: impl IntoIterator<Item = f64>) -> Case {
    let samples = |median: f64| [0.98, 0.99, 1.0, 1.01, 1.02].map(|factor| median * factor).to_vec();
    Case {
        id: CaseId::new(figure, contender, value),
        unit: Unit::Nanoseconds,
        rounds: medians.into_iter().filter_map(|median| Round::of_samples(samples(median))).collect(),
    }
}

/// Returns a case of what is counted.
pub fn instructions(contender: &str, shape: &str, count: f64) -> Case {
    Case {
        id: CaseId::new("instructions", contender, shape),
        unit: Unit::Instructions,
        rounds: vec![Round::exact(count)],
    }
}

/// Returns a report of these cases.
pub fn report(cases: impl IntoIterator<Item = Case>) -> Report {
    let machine = Machine {
        processor: "Abacus".to_owned(),
        cores: 2,
        memory: "1 GiB".to_owned(),
        kernel: "Linux 1.0".to_owned(),
        virtualised: false,
    };
    let about = About {
        date: "2001-02-03T04:05:06Z".to_owned(),
        command: "cargo xtask bench".to_owned(),
        extent: Extent { quick: false, filter: None, rounds: 3 },
        commit: None,
        load: 0.0,
        machine,
        toolchain: Toolchain { rustc: "rustc 1.0".to_owned(), profile: "bench".to_owned() },
        peers: BTreeMap::new(),
        seconds: Seconds { build: 1.0, measure: 2.0 },
    };
    Report { about, cases: cases.into_iter().collect() }
}
