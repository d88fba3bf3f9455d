//! How many instructions a chain takes, counted by callgrind.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::{fs, iter, thread};

use anyhow::{Context, Result, anyhow, ensure};

use super::filter::Filter;
use super::measurement::Measurement;
use super::programs::{Program, run};
use xtask_report::spread::Round;
use xtask_report::{CaseId, Unit};
use xtask_support::Spinner;
use xtask_support::cargo::metadata;

/// What the benchmark calls the function between whose begin and end instructions count.
const COUNTED: &str = "--toggle-collect=*callgrind_counted*";

/// Counts some shapes.
pub(crate) struct Counter<'p> {
    program: &'p Program,
    shapes: Vec<Shape>,
    /// Where callgrind writes to.
    directory: PathBuf,
}

#[derive(Debug, PartialEq)]
struct Shape {
    id: CaseId,
    /// How many chains are processed while instructions are counted.
    chains: f64,
}

impl<'p> Counter<'p> {
    /// Returns what counts the shapes that `filter` wants for a figure, unless it wants none.
    ///
    /// # Errors
    ///
    /// If there is no valgrind, among others.
    pub(crate) fn new(program: &'p Program, figure: &str, filter: &Filter) -> Result<Option<Self>> {
        let list = program.command(&program.path).arg("list").output().context("cannot list the shapes")?;
        ensure!(list.status.success(), "cannot list the shapes: {}", String::from_utf8_lossy(&list.stderr));
        let mut shapes = parse_list(figure, &String::from_utf8(list.stdout)?)?;
        shapes.retain(|shape| filter.matches(&shape.id));
        if shapes.is_empty() {
            return Ok(None);
        }
        let valgrind = Command::new("valgrind").arg("--version").output();
        ensure!(valgrind.is_ok(), "valgrind is missing, which counts instructions: apt-get install valgrind");
        let directory: PathBuf = metadata()?.target_directory.join("bench-rounds").into();
        fs::create_dir_all(&directory)?;
        Ok(Some(Self { program, shapes, directory }))
    }

    /// Counts on all cores at once: what else they do makes no difference to a count.
    pub(crate) fn count(&self, spinner: &Spinner) -> Result<Vec<Measurement>> {
        let left = Mutex::new(self.shapes.iter());
        let next = || left.lock().ok()?.next();
        let work = |worker| iter::from_fn(next).map(|shape| self.count_shape(shape, worker, spinner)).collect();
        thread::scope(|scope| {
            let workers: Vec<_> = (0..thread::available_parallelism()?.get())
                .map(|worker| scope.spawn(move || -> Result<Vec<_>> { work(worker) }))
                .collect();
            let counts = workers.into_iter().map(|worker| worker.join().map_err(|_| anyhow!("a count panicked"))?);
            Ok(counts.collect::<Result<Vec<_>>>()?.concat())
        })
    }

    fn count_shape(&self, shape: &Shape, worker: usize, spinner: &Spinner) -> Result<Measurement> {
        let Shape { id, chains } = shape;
        let name = format!("{}/{}", id.contender, id.value);
        let file = self.directory.join(format!("callgrind.{worker}"));
        let mut command = self.program.command(Path::new("valgrind"));
        command.args(["--tool=callgrind", COUNTED]);
        command.arg(format!("--callgrind-out-file={}", file.display()));
        command.arg(&self.program.path).args(["run", &name]);
        run(command, spinner)?;
        let written = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let total = parse_total(&written).ok_or_else(|| anyhow!("callgrind counted no instruction of {name}"))?;
        Ok(Measurement { id: id.clone(), unit: Unit::Instructions, round: Round::exact(total / chains) })
    }
}

/// Reads lines of the form contender/shape/chains.
fn parse_list(figure: &str, list: &str) -> Result<Vec<Shape>> {
    let parse = |line: &str| {
        let (contender, rest) = line.split_once('/')?;
        let (shape, chains) = rest.rsplit_once('/')?;
        let chains = f64::from(chains.parse::<u32>().ok().filter(|chains| *chains > 0)?);
        Some(Shape { id: CaseId::new(figure, contender, shape), chains })
    };
    list.lines().map(|line| parse(line).ok_or_else(|| anyhow!("`{line}` is no shape"))).collect()
}

/// Returns the total in what callgrind wrote, unless that is zero.
fn parse_total(written: &str) -> Option<f64> {
    let total = written.lines().find_map(|line| line.strip_prefix("totals:"))?;
    total.trim().parse().ok().filter(|total| *total > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_of_shapes_is_read() {
        let shapes =
            parse_list("instructions", "split/indirect-8-burst-32/32\nraw-packed/direct-1-burst-1/64\n").unwrap();
        let shape = |contender, value, chains| Shape { id: CaseId::new("instructions", contender, value), chains };
        assert_eq!(
            shapes,
            [shape("split", "indirect-8-burst-32", 32.0), shape("raw-packed", "direct-1-burst-1", 64.0)]
        );
        for line in ["split", "split/1", "split/1/x", "split/1/0"] {
            assert!(parse_list("instructions", line).is_err(), "{line}");
        }
    }

    #[test]
    fn total_is_found_and_not_zero() {
        assert_eq!(parse_total("version: 1\nevents: Ir\n\nfn=(1) f\n7 100\ntotals: 7296\n"), Some(7296.0));
        assert_eq!(parse_total("totals: 0\n"), None);
        assert_eq!(parse_total("events: Ir\n"), None);
    }
}
