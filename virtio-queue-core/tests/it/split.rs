//! Split queues, with a driver that writes by hand.

mod available_notifications;
mod fatal;
mod fetch;
mod hostile;
mod malformed;
mod snapshots;
mod used;
mod used_notifications;
mod walk;
