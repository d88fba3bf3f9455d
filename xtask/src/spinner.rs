//! Progress of something that has no known length: a line that moves, on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// The latest line of what a long step prints.
pub(crate) struct Spinner {
    bar: ProgressBar,
}

impl Spinner {
    /// Begins with `title`.
    pub(crate) fn new(title: String) -> Self {
        let style = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg:.dim}");
        let bar = ProgressBar::new_spinner().with_style(style.expect("the template is a literal"));
        bar.set_prefix(title);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar }
    }

    /// Shows what is going on right now.
    pub(crate) fn show(&self, message: &str) {
        self.bar.set_message(message.trim().to_owned());
    }

    /// Prints what is to stay.
    pub(crate) fn print(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{}", text.trim_end()));
    }

    /// Ends with a line that stays.
    pub(crate) fn finish(self, line: &str) {
        self.bar.finish_and_clear();
        eprintln!("{line}");
    }
}
