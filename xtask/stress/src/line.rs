//! What one side wakes the other with.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use virtio_queue_core::DriverNotify;

/// Nobody sleeps that long unless a notification is lost.
const TOO_LONG: Duration = Duration::from_secs(60);

/// A line that is up or down, like an eventfd. A clone is another handle.
#[derive(Clone, Default)]
pub(crate) struct Line(Arc<(Mutex<bool>, Condvar)>);

impl Line {
    pub(crate) fn raise(&self) {
        let (up, raised) = &*self.0;
        *up.lock().unwrap() = true;
        raised.notify_one();
    }

    /// Sleeps until the line is up, and lets it down.
    pub(crate) fn wait(&self) {
        let (up, raised) = &*self.0;
        let guard = up.lock().unwrap();
        let (mut up, timeout) = raised.wait_timeout_while(guard, TOO_LONG, |up| !*up).unwrap();
        assert!(!timeout.timed_out(), "a notification was lost, or the other side has failed");
        *up = false;
    }
}

impl DriverNotify for Line {
    fn notify(&self) {
        self.raise();
    }
}
