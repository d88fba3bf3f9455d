//! Two back ends that serve the same driver in turns.

use anyhow::Result;

use xtask_report::{Case, CaseId, Unit};
use xtask_support::Spinner;

/// How often each back end has its turn.
pub(crate) const ROUNDS: usize = 7;

/// What is compared, and who takes part.
pub(crate) struct Comparison<'a> {
    pub(crate) figure: &'a str,
    /// Where in the figure.
    pub(crate) value: &'a str,
    pub(crate) unit: Unit,
    pub(crate) ours: &'a str,
    pub(crate) peer: &'a str,
}

impl Comparison<'_> {
    /// Measures both back ends again and again, one after the other: a machine that is slow for a while is slow for
    /// both.
    pub(crate) fn measure(
        &self,
        mut ours: impl FnMut() -> Result<f64>,
        mut peer: impl FnMut() -> Result<f64>,
    ) -> Result<[Case; 2]> {
        let spinner = Spinner::new(format!("{} {}", self.figure, self.value));
        let (mut of_ours, mut of_peer) = (Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            spinner.show(&format!("round {round} of {ROUNDS}"));
            of_ours.push(ours()?);
            of_peer.push(peer()?);
        }
        let case = |who, values| Case::of_values(CaseId::new(self.figure, who, self.value), self.unit, values);
        Ok([case(self.ours, of_ours), case(self.peer, of_peer)])
    }
}
