//! Progress of something that has no known length: a line that moves, on a terminal.

use core::time::Duration;
use std::sync::LazyLock;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// All that move at the same time, each on a line of its own.
static SPINNERS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// The latest line of what a long step prints.
pub struct Spinner {
    bar: ProgressBar,
}

impl Spinner {
    /// Begins with `title`.
    #[must_use]
    pub fn new(title: String) -> Self {
        let style = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg:.dim}");
        // The template is a literal, so that the other one is never used.
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = SPINNERS.add(ProgressBar::new_spinner().with_style(style));
        bar.set_prefix(title);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar }
    }

    /// Shows what is going on right now.
    pub fn show(&self, message: &str) {
        self.bar.set_message(message.trim().to_owned());
    }

    /// Prints what is to stay.
    pub fn print(&self, text: &str) {
        SPINNERS.suspend(|| eprintln!("{}", text.trim_end()));
    }

    /// Ends with a line that stays.
    pub fn finish(self, line: &str) {
        self.bar.finish_and_clear();
        self.print(line);
    }
}
