//! What a device did under attack.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::mem::discriminant;

use virtio_ring::RingFeatures;

use super::attack::{Outcome, Reaction};
use super::breach::Breach;
use super::work::{Touched, Work};

/// After so many breaches of one kind in the attacks on one rule, only their number is kept.
const MAX_FINDINGS: usize = 2;

/// The format of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingFormat {
    /// A split ring.
    Split,
    /// A packed ring.
    Packed,
}

impl fmt::Display for RingFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Split => "split",
            Self::Packed => "packed",
        })
    }
}

/// The result of all attacks.
///
/// It is printed as a table with a row for each rule and format, and a list of the breaches. `runs` is the number of
/// attacks, `came back` is how the device reacted to them, and `work` is the largest number of accesses and
/// translations of one call. The column after it splits the accesses of that call: `2r 1w` are two reads and one write.
/// [`Row`] has the same values as fields.
///
/// A breach is printed with the number of its variant. [`Kit::only`](super::Kit::only) and
/// [`Kit::only_variant`](super::Kit::only_variant) run that attack alone.
///
/// ```
/// use virtio_fake_driver::hostile::Kit;
///
/// let report = Kit::new().only("HOST-3").run(|queue| {
///     queue.next_chain()?; // A chain that is dropped is used.
///     Ok(())
/// });
/// assert!(report.passed());
/// assert!(report.to_string().contains("HOST-3"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Returns whether the device kept all promises.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.rows.iter().all(Row::passed)
    }

    /// Returns the rules, in the order of the attacks.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Returns the breaches: for each rule and format, the first ones of each kind.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.rows.iter().flat_map(|row| &row.findings)
    }

    pub(super) fn row_mut(&mut self, id: &'static str, format: RingFormat) -> &mut Row {
        let index = self.rows.iter().position(|row| row.id == id && row.format == format);
        let index = index.unwrap_or_else(|| {
            self.rows.push(Row::new(id, format));
            self.rows.len() - 1
        });
        self.rows.get_mut(index).expect("the row is there")
    }
}

/// The result of the attacks that break one rule, in one format.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Row {
    /// The id of the rule, or `honest` for requests that break no rule.
    pub id: &'static str,
    /// The format of the ring.
    pub format: RingFormat,
    /// The number of attacks.
    pub runs: usize,
    /// The number of attacks after which the device went on.
    pub served: usize,
    /// The number of attacks in which the device refused the configuration.
    pub refused: usize,
    /// The number of attacks in which the device reported that its queue is broken.
    pub fatal: usize,
    /// The most work of one call.
    pub work: Work,
    /// The accesses of that call.
    pub touched: Touched,
    /// The number of attacks in which the device broke a promise.
    pub failed: usize,
    /// The first breaches.
    pub findings: Vec<Finding>,
    /// The first error of the device.
    pub error: Option<String>,
}

impl Row {
    fn new(id: &'static str, format: RingFormat) -> Self {
        Self {
            id,
            format,
            runs: 0,
            served: 0,
            refused: 0,
            fatal: 0,
            work: Work::default(),
            touched: Touched::default(),
            failed: 0,
            findings: Vec::new(),
            error: None,
        }
    }

    /// Returns whether the device kept all promises in these attacks.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.failed == 0
    }

    pub(super) fn add(&mut self, attack: &'static str, variant: usize, features: u64, outcome: Outcome) {
        self.runs += 1;
        match outcome.reaction {
            Reaction::Served => self.served += 1,
            Reaction::Refused => self.refused += 1,
            Reaction::Fatal => self.fatal += 1,
        }
        if outcome.work.total() > self.work.total() {
            (self.work, self.touched) = (outcome.work, outcome.touched);
        }
        self.failed += usize::from(!outcome.breaches.is_empty());
        self.error = self.error.take().or(outcome.error);
        let (id, format) = (self.id, self.format);
        for breach in outcome.breaches {
            let kind = discriminant(&breach);
            if self.findings.iter().filter(|other| discriminant(&other.breach) == kind).count() < MAX_FINDINGS {
                self.findings.push(Finding { id, format, attack, variant, features, breach });
            }
        }
    }

    /// Returns the reactions with their numbers, such as `served 4, fatal 2`.
    fn reactions(&self) -> String {
        let all = [("served", self.served), ("refused", self.refused), ("fatal", self.fatal)];
        let mut text = String::new();
        for (name, count) in all.into_iter().filter(|(_, count)| *count != 0) {
            let separator = if text.is_empty() { "" } else { ", " };
            text += &format!("{separator}{name} {count}");
        }
        text
    }
}

/// A promise that the device broke, and the attack in which it did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The id of the rule that the driver broke.
    pub id: &'static str,
    /// The format of the ring.
    pub format: RingFormat,
    /// The attack.
    pub attack: &'static str,
    /// The number of the attack's variant.
    pub variant: usize,
    /// The features that the driver accepted.
    pub features: u64,
    /// The broken promise.
    pub breach: Breach,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, format, attack, variant, features, breach } = self;
        write!(f, "{id}, {format}, {attack} (variant {variant}")?;
        if let Ok(features) = RingFeatures::from_negotiated(*features) {
            write!(f, ", {features}")?;
        }
        write!(f, "): {breach}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, came_back, touched) = ("rule", "came back", "touched in that call");
        writeln!(f, "{id:<13} {:<6} {:>5}  {came_back:<34} {:>5}  {touched:<36} verdict", "ring", "runs", "work")?;
        for row in &self.rows {
            let Row { id, format, runs, failed, .. } = row;
            let (reactions, touched, work) = (row.reactions(), format!("{}", row.touched), row.work.total());
            write!(f, "{id:<13} {format:<6} {runs:>5}  {reactions:<34} {work:>5}  {touched:<36} ")?;
            match failed {
                0 => writeln!(f, "ok")?,
                failed => writeln!(f, "{failed} failed")?,
            }
        }
        if self.passed() {
            return write!(f, "the device kept all promises in {} attacks", self.runs());
        }
        let failed: usize = self.rows.iter().map(|row| row.failed).sum();
        write!(f, "the device broke a promise in {failed} of {} attacks. The first ones for each rule:", self.runs())?;
        self.findings().try_for_each(|finding| write!(f, "\n{finding}"))
    }
}

impl Report {
    fn runs(&self) -> usize {
        self.rows.iter().map(|row| row.runs).sum()
    }
}
