//! Progress of something of which it is known how much there is.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on a terminal, elsewhere a line for every tenth.
pub(super) struct Bar {
    bar: ProgressBar,
    title: &'static str,
}

impl Bar {
    /// Begins with nothing of `total` done.
    pub(super) fn new(title: &'static str, total: u64) -> Self {
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {percent:>3} %");
        let bar = ProgressBar::new(total).with_style(style.expect("the template is a literal")).with_prefix(title);
        Self { bar, title }
    }

    /// Takes note that `count` more are done.
    pub(super) fn advance(&self, count: u64) {
        let before = self.tenths();
        self.bar.inc(count);
        if self.bar.is_hidden() && self.tenths() != before {
            eprintln!("{}: {} %", self.title, 10 * self.tenths());
        }
    }

    fn tenths(&self) -> u64 {
        10 * self.bar.position() / self.bar.length().unwrap_or_default().max(1)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
