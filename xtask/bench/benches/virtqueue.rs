//! What a chain costs, on one thread.
//!
//! Each figure is a group of criterion's: contenders that do the same work at the points of a sweep. An iteration is a
//! chain, or a payload, so that the time of an iteration is what one costs. See [`support::pass`] for what is timed and
//! what is checked, and [`support::device`] for who takes part.
//!
//! With `XTASK_BENCH_QUICK=1` in the environment, a few points of each sweep are measured for a short time.

#![expect(
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    reason = "it runs where there is an operating system"
)]
#![expect(clippy::indexing_slicing, reason = "a benchmark that is wrong may panic")]

mod figures;
mod support;

use std::env;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};

use self::figures::{Figure, figures};
use self::support::pass::Bench;

fn main() {
    let quick = env::var_os("XTASK_BENCH_QUICK").is_some_and(|value| value == "1");
    let criterion = if quick {
        let criterion = Criterion::default().warm_up_time(Duration::from_millis(10)).sample_size(10).nresamples(1000);
        criterion.measurement_time(Duration::from_millis(35))
    } else {
        let criterion =
            Criterion::default().warm_up_time(Duration::from_millis(100)).sample_size(15).nresamples(10_000);
        criterion.measurement_time(Duration::from_millis(300))
    };
    let mut criterion = criterion.without_plots().configure_from_args();
    for figure in figures() {
        measure(&mut criterion, &figure, quick);
    }
    criterion.final_summary();
}

fn measure(criterion: &mut Criterion, figure: &Figure, quick: bool) {
    let mut group = criterion.benchmark_group(figure.name);
    // Samples of equal length, so that each says as much as any other of the median.
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(1));
    for point in figure.points.iter().filter(|point| point.quick || !quick) {
        for contender in &figure.contenders {
            let mut bench = None;
            group.bench_function(BenchmarkId::new(contender.name, &point.x), |bencher| {
                let name = || format!("{}/{}/{}", figure.name, contender.name, point.x);
                let bench = bench.get_or_insert_with(|| Bench::new(name(), contender, point.shape));
                bencher.iter_custom(|chains| bench.run(chains));
            });
        }
    }
    group.finish();
}
