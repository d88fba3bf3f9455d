//! The matrix that all drivers print: one line for each case.

use anyhow::Result;

/// The bits of the rings that a driver may accept or leave, and what they are called.
const RING_FEATURES: [(u64, &str); 3] =
    [(INDIRECT_DESC, "INDIRECT_DESC"), (EVENT_IDX, "EVENT_IDX"), (1 << 35, "IN_ORDER")];

pub(crate) const INDIRECT_DESC: u64 = 1 << 28;
pub(crate) const EVENT_IDX: u64 = 1 << 29;
pub(crate) const VERSION_1: u64 = 1 << 32;
pub(crate) const RING_PACKED: u64 = 1 << 34;

/// A case: who drives what, and how.
pub(crate) struct Row {
    pub(crate) driver: &'static str,
    pub(crate) device: &'static str,
    /// What was negotiated.
    pub(crate) features: u64,
    /// What else there is to be said of it.
    pub(crate) about: String,
}

impl Row {
    /// Prints what the columns are.
    pub(crate) fn print_header() {
        print_columns(["driver", "device", "format", "features", "case", "requests", "verdict"]);
    }

    /// Prints how it went, with the number of requests if it went well, and returns whether it did.
    pub(crate) fn report(&self, result: &Result<u64>) -> bool {
        let format = if self.features & RING_PACKED == 0 { "split" } else { "packed" };
        let named = RING_FEATURES.iter().filter(|(bit, _)| self.features & bit != 0);
        let features: Vec<_> = named.map(|(_, name)| *name).collect();
        let features = if features.is_empty() { "-".into() } else { features.join(" ") };
        let (requests, verdict) = match result {
            Ok(requests) => (requests.to_string(), "ok".into()),
            Err(error) => ("-".into(), format!("FAILED: {error:#}")),
        };
        print_columns([self.driver, self.device, format, &features, &self.about, &requests, &verdict]);
        result.is_ok()
    }
}

fn print_columns([driver, device, format, features, about, requests, verdict]: [&str; 7]) {
    println!("{driver:<13}  {device:<14}  {format:<6}  {features:<23}  {about:<27}  {requests:>8}  {verdict}");
}
